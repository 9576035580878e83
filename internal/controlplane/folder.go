package controlplane

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// temporaryFolder is how the names of our folders begin; it must say clearly
// whose they are, because abandoned ones are removed.
const temporaryFolder = "migration-proxy-controlplane-"

// newFolder makes a temporary folder and locks it: the lock ends with this
// process, however that ends, and then the folder is anybody's to remove. The
// handle has its path, and must be kept open.
func newFolder() (*os.File, error) {
	removeAbandoned()
	dir, err := os.MkdirTemp("", temporaryFolder)
	if err != nil {
		return nil, err
	}
	return lock(dir)
}

// removeAbandoned removes the folders whose process was killed: 120 MB each.
// Only those with data, so never one that is about to be locked. It does what
// it can: others may belong to another user.
func removeAbandoned() {
	found, _ := filepath.Glob(filepath.Join(os.TempDir(), temporaryFolder+"*", storeData)) // our pattern is right
	for _, data := range found {
		if held, err := lock(filepath.Dir(data)); err == nil {
			_ = os.RemoveAll(held.Name())
			_ = held.Close()
		}
	}
}

// lock fails at once if somebody else has the lock.
func lock(dir string) (*os.File, error) {
	held, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(held.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(os.NewSyscallError("flock "+dir, err), held.Close())
	}
	return held, nil
}
