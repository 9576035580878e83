package podrunner

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// stageVariable tells this program that it is the first step of a container:
// it holds the path of a stage in JSON.
const stageVariable = "PODRUNNER_STAGE"

// stage is what is left to do inside a container's new namespaces, before its
// own program begins.
type stage struct {
	Root   string // an empty folder of this machine, for the container's view
	Host   string // its host name
	Names  string // its resolv.conf
	Mounts []mount
	// ReadOnly: the root, but not what is mounted into it.
	ReadOnly    bool
	NoNewPrivs  bool
	User, Group int
	Groups      []int
	Dir         string
	Program     string   // a path, or a name to be found by PATH
	Args        []string // with the program's name
	Env         []string

	overlays []string // the folders of this machine that are shown
}

// mount is a file or folder of this machine, at a path of the container.
type mount struct {
	Source, Target string
	ReadOnly       bool
	open           int // a descriptor of the source; it outlives the chroot
}

// Stage must be called first in programs that use podrunner. It returns at
// once, unless this process is to become a container; then it never does.
func Stage() {
	path := os.Getenv(stageVariable)
	if path == "" {
		return
	}
	err := enact(path)
	fmt.Fprintln(os.Stderr, "podrunner: start container:", err)
	os.Exit(128)
}

// enact turns this process into the container's first one.
func enact(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var s stage
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, step := range []func() error{s.openSources, s.view, s.mountAll, s.identify, s.become} {
		if err := step(); err != nil {
			return err
		}
	}
	return s.exec()
}

func (s *stage) openSources() error {
	for i := range s.Mounts {
		var err error
		if s.Mounts[i].open, err = unix.Open(s.Mounts[i].Source, unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
			return fmt.Errorf("volume %s: %w", s.Mounts[i].Source, err)
		}
	}
	return nil
}

// view makes the container's root and goes into it: an overlay of each of this
// machine's folders, with /dev, /proc and /sys, and an empty /tmp and /run, as
// an image has them.
func (s *stage) view() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", s.Root, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("memory for the root: %w", err)
	}
	entries, err := os.ReadDir("/")
	if err != nil {
		return err
	}
	root := filepath.Join(s.Root, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(root, root, "", unix.MS_BIND, ""); err != nil { // so that seal can seal it
		return fmt.Errorf("bind the root: %w", err)
	}
	for _, entry := range entries {
		if err := s.show(entry, filepath.Join(root, entry.Name())); err != nil {
			return fmt.Errorf("show /%s: %w", entry.Name(), err)
		}
	}
	if err := unix.Chroot(root); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	return os.Chdir("/")
}

// show puts an entry of / into the root.
func (s *stage) show(entry os.DirEntry, target string) error {
	source := "/" + entry.Name()
	if entry.Type() == os.ModeSymlink {
		to, err := os.Readlink(source)
		return errors.Join(err, os.Symlink(to, target))
	}
	if !entry.IsDir() {
		return nil
	}
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	switch source {
	case "/proc":
		return unix.Mount("proc", target, "proc", 0, "")
	case "/tmp":
		return unix.Mount("tmpfs", target, "tmpfs", 0, "mode=1777")
	case "/run":
		return unix.Mount("tmpfs", target, "tmpfs", 0, "mode=0755")
	case "/dev", "/sys":
		return unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, "")
	}
	return s.overlay(source, target)
}

// overlay shows a folder of this machine; what is written there stays in
// memory. Not the whole of / at once: in a user namespace the kernel refuses
// folders with mounts below them (EINVAL), and there those stay empty.
func (s *stage) overlay(source, target string) error {
	upper, work := filepath.Join(s.Root, "upper", source), filepath.Join(s.Root, "work", source)
	if err := errors.Join(os.MkdirAll(upper, 0o755), os.MkdirAll(work, 0o755), s.own(source)); err != nil {
		return err
	}
	err := unix.Mount("overlay", target, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", source, upper, work))
	if errors.Is(err, unix.EINVAL) {
		return nil
	}
	s.overlays = append(s.overlays, source)
	return err
}

// own makes the folders that lead to mounts ours, by having them in the upper
// layer, too: in a user namespace nobody may write into those of root.
func (s *stage) own(source string) error {
	for _, m := range s.Mounts {
		path := ""
		for _, part := range strings.Split(filepath.Dir(m.Target), "/")[1:] {
			path += "/" + part
			info, err := os.Lstat(path)
			if err != nil || !info.IsDir() || !strings.HasPrefix(path+"/", source+"/") {
				break
			}
			if err := os.MkdirAll(filepath.Join(s.Root, "upper", path), info.Mode().Perm()); err != nil {
				return err
			}
		}
	}
	return nil
}

// mountAll mounts the volumes. It runs inside the new root, so that a symlink
// on the way leads to a place in it.
func (s *stage) mountAll() error {
	for _, m := range s.Mounts {
		if err := m.apply(); err != nil {
			return fmt.Errorf("mount %s: %w", m.Target, err)
		}
	}
	return nil
}

func (m mount) apply() error {
	source := fmt.Sprintf("/proc/self/fd/%d", m.open)
	if err := m.makeTarget(source); err != nil {
		return err
	}
	if err := unix.Mount(source, m.Target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if !m.ReadOnly {
		return nil
	}
	return unix.Mount("", m.Target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
}

func (m mount) makeTarget(source string) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return os.MkdirAll(m.Target, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(m.Target), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(m.Target, os.O_CREATE|os.O_RDONLY, 0o755)
	if err != nil {
		return err
	}
	return file.Close()
}

// identify writes the files that say who and where the container is. What is
// there may be a symlink into /run.
func (s *stage) identify() error {
	for path, text := range map[string]string{
		"/etc/resolv.conf": s.Names, "/etc/hostname": s.Host + "\n",
		"/etc/hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost\n",
	} {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := unix.Sethostname([]byte(s.Host)); err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	if !s.ReadOnly {
		return nil
	}
	return s.seal()
}

// seal makes all that is not a volume read-only. /tmp and /run, too: an image
// with a read-only root has none that can be written.
func (s *stage) seal() error {
	for _, path := range append(s.overlays, "/", "/tmp", "/run") {
		if slices.ContainsFunc(s.Mounts, func(m mount) bool { return filepath.Clean(m.Target) == path }) {
			continue
		}
		if err := unix.Mount("", path, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("make %s read-only: %w", path, err)
		}
	}
	return nil
}

// become takes the container's user, if this user namespace knows it.
func (s *stage) become() error {
	if s.NoNewPrivs {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("no new privileges: %w", err)
		}
	}
	if s.User == 0 && s.Group == 0 && len(s.Groups) == 0 {
		return nil
	}
	err := errors.Join(syscall.Setgroups(s.Groups), syscall.Setgid(s.Group), syscall.Setuid(s.User))
	if err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("become user %d: %w", s.User, err)
	}
	return nil // EINVAL, EPERM: we are not root and have one user only
}

func (s *stage) exec() error {
	if err := os.Chdir(s.Dir); err != nil {
		return err
	}
	os.Clearenv()
	for _, variable := range s.Env {
		name, value, _ := strings.Cut(variable, "=")
		if err := os.Setenv(name, value); err != nil { // LookPath asks for PATH
			return fmt.Errorf("environment variable %q: %w", name, err)
		}
	}
	path, err := exec.LookPath(s.Program)
	if err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", path, syscall.Exec(path, s.Args, s.Env))
}
