package proxy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// runtimeDir is the one directory that we write to; see the package comment.
type runtimeDir string

func (d runtimeDir) path(parts ...string) string {
	return filepath.Join(append([]string{string(d)}, parts...)...)
}

// open makes the directory and takes its lock, which the caller closes and
// which a killed process gives back by itself.
func (d runtimeDir) open() (*os.File, error) {
	for _, name := range []string{"", "conf", "serving", "temp"} {
		if err := readable(d.path(name)); err != nil {
			return nil, fmt.Errorf("making the runtime directory: %w", err)
		}
	}
	lock, err := os.OpenFile(d.path("lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking the runtime directory: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("runtime directory %s belongs to another agent that is running (%w); stop it, or give this one a --runtime-dir of its own", d, err), lock.Close())
	}
	return lock, nil
}

// readable makes a directory that nginx's workers may look into, whatever the
// umask. One that exists, perhaps as a mounted volume, stays as it is.
func readable(name string) error {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return nil
	}
	if err := os.MkdirAll(name, 0o755); err != nil {
		return err
	}
	return os.Chmod(name, 0o755)
}

// stage writes a config beside the others and gives its path. One that can be
// seen is complete.
func (d runtimeDir) stage(config nginxgen.Config) (string, error) {
	folder := d.path("conf", config.Digest)
	file := filepath.Join(folder, "nginx.conf")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	unfinished := d.path("conf", ".tmp-"+config.Digest)
	err := os.RemoveAll(unfinished)
	if err == nil {
		err = readable(unfinished)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(unfinished, "nginx.conf"), config.Text, 0o644)
	}
	if err == nil {
		err = os.Rename(unfinished, folder)
	}
	if err != nil {
		return "", fmt.Errorf("staging nginx config %s: %w", config.Digest, err)
	}
	return file, nil
}

// current is the digest of the config that nginx loads next; "" when there is
// none.
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
		return fmt.Errorf("swapping to nginx config %s: %w", digest, err)
	}
	return nil
}

// keep lets the workers of a config keep connections alive. It comes before
// the config is loaded.
func (d runtimeDir) keep(digest string) error {
	if err := os.WriteFile(d.path("serving", digest), nil, 0o644); err != nil {
		return fmt.Errorf("preparing nginx config %s: %w", digest, err)
	}
	return nil
}

// drain makes the workers of a config ask their clients to reconnect. nginx
// looks for the file at each request, and one that exists is found faster.
func (d runtimeDir) drain(digest string) error {
	err := os.Remove(d.path("serving", digest))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("draining nginx config %s: %w", digest, err)
	}
	return nil
}

// forget removes all configs but the named ones.
func (d runtimeDir) forget(but ...string) error {
	var err error
	for _, folder := range []string{"conf", "serving"} {
		entries, readErr := os.ReadDir(d.path(folder))
		err = errors.Join(err, readErr)
		for _, entry := range entries {
			if !slices.Contains(but, entry.Name()) {
				err = errors.Join(err, os.RemoveAll(d.path(folder, entry.Name())))
			}
		}
	}
	if err != nil {
		return fmt.Errorf("removing old nginx configs: %w", err)
	}
	return nil
}
