package controlplane

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// temporaryFolder is the prefix of our temporary folders. It must be unmistakable,
// because abandoned folders are removed.
const temporaryFolder = "migration-proxy-controlplane-"

// newFolder creates a temporary folder and locks it. The lock ends with this process,
// even when it is killed; then any process may remove the folder. The returned file
// has the path of the folder and must stay open.
func newFolder() (*os.File, error) {
	removeAbandoned()
	dir, err := os.MkdirTemp("", temporaryFolder)
	if err != nil {
		return nil, err
	}
	return lock(dir)
}

// removeAbandoned removes the folders of killed processes, 120 MB each. It leaves
// folders without data, which may be about to be locked, and ignores errors, because a
// folder may belong to another user.
func removeAbandoned() {
	found, _ := filepath.Glob(filepath.Join(os.TempDir(), temporaryFolder+"*", etcdData)) // our pattern is right
	for _, data := range found {
		if held, err := lock(filepath.Dir(data)); err == nil {
			_ = os.RemoveAll(held.Name())
			_ = held.Close()
		}
	}
}

// lock fails at once if another process has the lock.
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
