package weights

import (
	"errors"
	"io/fs"
	"os"
)

// disk is the file system calls that change something, so that a test can
// stop the world before any one of them, as a kill -9 would.
type disk struct {
	before func() // nil outside tests
}

func (d disk) step() {
	if d.before != nil {
		d.before()
	}
}

// mkdir makes a directory that nginx's workers can read whatever the umask;
// one that exists is fine.
func (d disk) mkdir(name string) error {
	d.step()
	if err := os.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	d.step()
	return os.Chmod(name, 0o755)
}

// touch makes an empty file; nginx only asks whether it is there.
func (d disk) touch(name string) error {
	d.step()
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return file.Close()
}

func (d disk) symlink(target, name string) error {
	d.step()
	return os.Symlink(target, name)
}

func (d disk) rename(from, to string) error {
	d.step()
	return os.Rename(from, to)
}

func (d disk) removeAll(name string) error {
	d.step()
	return os.RemoveAll(name)
}
