package privatedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/migration-proxy/migration-proxy/internal/linux"
)

// Open makes the directory with the mode if it does not exist, checks it and the way to
// it, and takes the right to write to it away from others. The error names what is
// refused, and a way out. The caller closes the directory.
func Open(path string, mode fs.FileMode) (*os.Root, error) {
	path, err := checkWay(path)
	if err != nil {
		return nil, err
	}
	if err := makeDir(path, mode); err != nil {
		return nil, err
	}
	if info, err := os.Lstat(path); err != nil || !info.IsDir() {
		return nil, errors.Join(fmt.Errorf("%s is no directory", path), err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	if err := secure(root); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}

// makeDir makes the directory, and those above it, which Open has checked.
func makeDir(path string, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	err := os.Mkdir(path, mode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chmod(path, mode) // whatever the umask
}

// secure checks the opened directory itself, by its descriptor.
func secure(root *os.Root) error {
	info, err := root.Stat(".")
	if err != nil {
		return err
	}
	owner, writable := ownerOf(info), info.Mode().Perm()&0o022 != 0
	switch {
	case owner == os.Geteuid():
		if !writable {
			return nil
		}
		if err := root.Chmod(".", info.Mode().Perm()&^0o022); err != nil {
			return fmt.Errorf("take the right to write to %s away from others: %w", root.Name(), err)
		}
		return checkContent(root)
	case !trusted(owner):
		return fmt.Errorf("%s belongs to user %d; remove it, or choose another", root.Name(), owner)
	case info.Mode().Perm()&0o002 != 0 && !isVolume(root):
		return fmt.Errorf("%s has mode %#o: other users may write to it; choose a directory below it, or one of your own", root.Name(), info.Mode().Perm())
	}
	return nil
}

// isVolume tells whether the directory is a mount point of its own in a directory that
// only trusted users can change, such as an emptyDir of a Pod: those have mode 0777, and
// nobody but the container enters them.
func isVolume(root *os.Root) bool {
	dir, err := root.Open(".")
	if err != nil {
		return false
	}
	defer func() { _ = dir.Close() }()
	if !linux.IsMountPoint(dir) {
		return false
	}
	above, err := os.Lstat(filepath.Dir(root.Name()))
	return err == nil && trusted(ownerOf(above)) && above.Mode().Perm()&0o022 == 0
}

// checkContent refuses what other users have put into the directory while they could.
func checkContent(root *os.Root) error {
	return fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if name == "temp" && entry.IsDir() {
			return fs.SkipDir // nginx's workers, which may be another user, own what is in it
		}
		if owner := ownerOf(info); !trusted(owner) {
			return fmt.Errorf("%s belongs to user %d; remove it", filepath.Join(root.Name(), name), owner)
		}
		return nil
	})
}

func ownerOf(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return -1
}
