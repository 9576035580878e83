package weights

import (
	"errors"
	"io/fs"
	"os"
)

// disk has the file system calls that change something, so that a test can
// interrupt the Store before each of them, as a kill -9 would.
type disk struct {
	beforeChange func() // nil outside tests
}

func (d disk) change() {
	if d.beforeChange != nil {
		d.beforeChange()
	}
}

// mkdir creates a directory that nginx's workers can read, whatever the umask.
// The directory may exist.
func (d disk) mkdir(name string) error {
	d.change()
	if err := os.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	d.change()
	return os.Chmod(name, 0o755)
}

// touch creates an empty file. nginx's workers only look whether it exists, but they
// open it where the agent asks for the side of a request; so all may read it, whatever
// the umask.
func (d disk) touch(name string) error {
	d.change()
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(file.Chmod(0o644), file.Close())
}

func (d disk) symlink(target, name string) error {
	d.change()
	return os.Symlink(target, name)
}

func (d disk) rename(from, to string) error {
	d.change()
	return os.Rename(from, to)
}

func (d disk) removeAll(name string) error {
	d.change()
	return os.RemoveAll(name)
}
