package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/migration-proxy/migration-proxy/internal/privatedir"
	"github.com/migration-proxy/migration-proxy/nginxgen"
	"github.com/migration-proxy/migration-proxy/proxy/nginx"
)

// runtimeDir is the only directory that the agent writes to; see the package
// comment.
type runtimeDir string

func (d runtimeDir) path(parts ...string) string {
	return filepath.Join(append([]string{string(d)}, parts...)...)
}

// OpenRuntimeDir makes the runtime directory, or refuses one whose content other users
// may choose: it decides where requests go. The caller closes it.
func OpenRuntimeDir(path string) (*os.Root, error) {
	root, err := privatedir.Open(path, runtimeDirMode())
	if err != nil {
		return nil, fmt.Errorf("runtime directory: %w (--runtime-dir)", err)
	}
	return root, nil
}

// runtimeDirMode lets nobody in but this user. If that is root, nginx's workers are
// another user: they look for files whose names they know, and list nothing.
func runtimeDirMode() fs.FileMode {
	if os.Geteuid() == 0 {
		return 0o711
	}
	return 0o700
}

// open creates the directory and locks it. The caller closes the lock; the
// kernel releases it when the process is killed.
func (d runtimeDir) open() (*os.File, error) {
	root, err := OpenRuntimeDir(string(d))
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	if err := errors.Join(makeDir(root, "conf", 0o700), makeDir(root, "serving", 0o755), makeDir(root, "temp", 0o755)); err != nil {
		return nil, fmt.Errorf("create the runtime directory: %w", err)
	}
	lock, err := root.OpenFile("lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the runtime directory: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("runtime directory %s belongs to another agent that is running (%w); stop it, or give this one a --runtime-dir of its own", d, err), lock.Close())
	}
	if err := nginx.EnsureStandbyCertificate(string(d)); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// makeDir creates a directory with the mode, whatever the umask. An existing one, perhaps
// a mounted volume, stays as it is.
func makeDir(root *os.Root, name string, mode fs.FileMode) error {
	err := root.Mkdir(name, mode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return root.Chmod(name, mode)
}

// obstacle names the first directory on the way that users without rights of their
// own cannot enter: " (/root has mode 0700)". It is "" if there is none.
func (d runtimeDir) obstacle() string {
	path := "/"
	for _, element := range strings.Split(string(d), "/") {
		path = filepath.Join(path, element)
		if info, err := os.Stat(path); err == nil && info.Mode()&0o001 == 0 {
			return fmt.Sprintf(" (%s has mode %#o)", path, info.Mode().Perm())
		}
	}
	return ""
}

// stage writes a config to conf/<digest> and returns the path of the file. A
// config under that name is always complete. Only this user may read it, as the values
// of header rules are in it.
func (d runtimeDir) stage(config nginxgen.Config) (string, error) {
	folder := d.path("conf", config.Digest)
	file := filepath.Join(folder, "nginx.conf")
	if text, err := os.ReadFile(file); err == nil && bytes.Equal(text, config.Text) {
		return file, os.Chmod(file, 0o600) // an earlier version let others read it
	}
	unfinished := d.path("conf", ".tmp-"+config.Digest)
	err := errors.Join(os.RemoveAll(unfinished), os.RemoveAll(folder))
	if err == nil {
		err = os.Mkdir(unfinished, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(unfinished, "nginx.conf"), config.Text, 0o600)
	}
	if err == nil {
		err = os.Rename(unfinished, folder)
	}
	if err != nil {
		return "", fmt.Errorf("stage nginx config %s: %w", config.Digest, err)
	}
	return file, nil
}

// current is the digest of the config that nginx loads next, or "".
func (d runtimeDir) current() string {
	target, err := os.Readlink(d.path("current"))
	if err != nil {
		return ""
	}
	return filepath.Base(target)
}

// swap makes a staged config the one that nginx loads next.
func (d runtimeDir) swap(digest string) error {
	unfinished := d.path(".tmp-current")
	err := os.Remove(unfinished)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = os.Symlink(filepath.Join("conf", digest), unfinished)
	}
	if err == nil {
		err = os.Rename(unfinished, d.path("current"))
	}
	if err != nil {
		return fmt.Errorf("swap to nginx config %s: %w", digest, err)
	}
	return nil
}

// allowKeepAlive lets the workers of a config keep connections alive. Call it
// before nginx loads the config.
func (d runtimeDir) allowKeepAlive(digest string) error {
	if err := os.WriteFile(d.path("serving", digest), nil, 0o644); err != nil {
		return fmt.Errorf("allow keep-alive for nginx config %s: %w", digest, err)
	}
	return nil
}

// drain makes the workers of a config ask their clients to reconnect. nginx
// looks for the file at each request; it finds an existing file faster than a
// missing one, so the file exists in normal operation.
func (d runtimeDir) drain(digest string) error {
	err := os.Remove(d.path("serving", digest))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("drain nginx config %s: %w", digest, err)
	}
	return nil
}

// removeExcept removes all configs but the named ones.
func (d runtimeDir) removeExcept(digests ...string) error {
	var err error
	for _, folder := range []string{"conf", "serving"} {
		entries, readErr := os.ReadDir(d.path(folder))
		err = errors.Join(err, readErr)
		for _, entry := range entries {
			if !slices.Contains(digests, entry.Name()) {
				err = errors.Join(err, os.RemoveAll(d.path(folder, entry.Name())))
			}
		}
	}
	return err
}
