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

// containerVariable is set in a process that has to become a container. It has the
// path of a containerConfig in JSON.
const containerVariable = "PODRUNNER_CONTAINER"

// containerConfig has what InitContainer sets up inside the new namespaces before it
// starts the container's program.
type containerConfig struct {
	Root   string // an empty folder for the root filesystem
	Host   string // host name
	Names  string // resolv.conf
	Mounts []mount
	// ReadOnly applies to the root filesystem, not to the mounts.
	ReadOnly    bool
	NoNewPrivs  bool
	User, Group int
	Groups      []int
	Dir         string
	Program     string   // a path, or a name in PATH
	Args        []string // begin with the name of the program
	Env         []string

	overlays []string // the folders of this machine that are mounted as overlays
}

// mount is a file or folder of this machine that is mounted into the container.
type mount struct {
	Source, Target string
	ReadOnly       bool
	open           int // a descriptor of the source, which stays valid after chroot
}

// InitContainer must come first in programs that use podrunner. It returns at once,
// unless this process has to become a container; then it does not return.
func InitContainer() {
	path := os.Getenv(containerVariable)
	if path == "" {
		return
	}
	err := becomeContainer(path)
	fmt.Fprintln(os.Stderr, "podrunner: start container:", err)
	os.Exit(128)
}

// becomeContainer turns this process into the first process of the container.
func becomeContainer(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var config containerConfig
	if err := json.Unmarshal(text, &config); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, step := range []func() error{config.openSources, config.makeRoot, config.mountAll, config.writeIdentity, config.setUser} {
		if err := step(); err != nil {
			return err
		}
	}
	return config.exec()
}

func (config *containerConfig) openSources() error {
	for i := range config.Mounts {
		var err error
		if config.Mounts[i].open, err = unix.Open(config.Mounts[i].Source, unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
			return fmt.Errorf("volume %s: %w", config.Mounts[i].Source, err)
		}
	}
	return nil
}

// makeRoot makes the root filesystem and changes into it: an overlay of each folder of
// this machine, with /dev, /proc and /sys, and an empty /tmp and /run as in an image.
func (config *containerConfig) makeRoot() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", config.Root, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount tmpfs for the root: %w", err)
	}
	entries, err := os.ReadDir("/")
	if err != nil {
		return err
	}
	root := filepath.Join(config.Root, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(root, root, "", unix.MS_BIND, ""); err != nil { // so that it can be remounted read-only
		return fmt.Errorf("bind the root: %w", err)
	}
	for _, entry := range entries {
		if err := config.mountEntry(entry, filepath.Join(root, entry.Name())); err != nil {
			return fmt.Errorf("mount /%s: %w", entry.Name(), err)
		}
	}
	if err := unix.Chroot(root); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	return os.Chdir("/")
}

// mountEntry puts an entry of / into the root.
func (config *containerConfig) mountEntry(entry os.DirEntry, target string) error {
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
	return config.overlay(source, target)
}

// overlay mounts a folder of this machine so that writes stay in memory. One overlay
// of / is not possible: in a user namespace the kernel refuses folders with mounts
// below them (EINVAL). Such folders stay empty there.
func (config *containerConfig) overlay(source, target string) error {
	upper, work := filepath.Join(config.Root, "upper", source), filepath.Join(config.Root, "work", source)
	if err := errors.Join(os.MkdirAll(upper, 0o755), os.MkdirAll(work, 0o755), config.copyParents(source)); err != nil {
		return err
	}
	err := unix.Mount("overlay", target, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", source, upper, work))
	if errors.Is(err, unix.EINVAL) {
		return nil
	}
	config.overlays = append(config.overlays, source)
	return err
}

// copyParents creates the parent folders of mounts in the upper layer as well: in a
// user namespace the folders of the real root are not writable.
func (config *containerConfig) copyParents(source string) error {
	for _, m := range config.Mounts {
		path := ""
		for _, part := range strings.Split(filepath.Dir(m.Target), "/")[1:] {
			path += "/" + part
			info, err := os.Lstat(path)
			if err != nil || !info.IsDir() || !strings.HasPrefix(path+"/", source+"/") {
				break
			}
			if err := os.MkdirAll(filepath.Join(config.Root, "upper", path), info.Mode().Perm()); err != nil {
				return err
			}
		}
	}
	return nil
}

// mountAll mounts the volumes. It runs inside the new root, so that symlinks in the
// paths stay inside it.
func (config *containerConfig) mountAll() error {
	for _, m := range config.Mounts {
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

// writeIdentity sets the host name and writes hosts and resolv.conf. It removes the
// existing files first, because they may be symlinks into /run.
func (config *containerConfig) writeIdentity() error {
	for path, text := range map[string]string{
		"/etc/resolv.conf": config.Names, "/etc/hostname": config.Host + "\n",
		"/etc/hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost\n",
	} {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := unix.Sethostname([]byte(config.Host)); err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	if !config.ReadOnly {
		return nil
	}
	return config.makeReadOnly()
}

// makeReadOnly makes everything but the volumes read-only, also /tmp and /run, which
// are read-only in an image with a read-only root.
func (config *containerConfig) makeReadOnly() error {
	for _, path := range append(config.overlays, "/", "/tmp", "/run") {
		if slices.ContainsFunc(config.Mounts, func(m mount) bool { return filepath.Clean(m.Target) == path }) {
			continue
		}
		if err := unix.Mount("", path, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("make %s read-only: %w", path, err)
		}
	}
	return nil
}

// setUser changes to the container's user, if this user namespace has it.
func (config *containerConfig) setUser() error {
	if config.NoNewPrivs {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("no new privileges: %w", err)
		}
	}
	if config.User == 0 && config.Group == 0 && len(config.Groups) == 0 {
		return nil
	}
	err := errors.Join(syscall.Setgroups(config.Groups), syscall.Setgid(config.Group), syscall.Setuid(config.User))
	if err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("become user %d: %w", config.User, err)
	}
	return nil // EINVAL, EPERM: a user namespace with a single user
}

func (config *containerConfig) exec() error {
	if err := os.Chdir(config.Dir); err != nil {
		return err
	}
	os.Clearenv()
	for _, variable := range config.Env {
		name, value, _ := strings.Cut(variable, "=")
		if err := os.Setenv(name, value); err != nil { // LookPath reads PATH
			return fmt.Errorf("environment variable %q: %w", name, err)
		}
	}
	path, err := exec.LookPath(config.Program)
	if err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", path, syscall.Exec(path, config.Args, config.Env))
}
