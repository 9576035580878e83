package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// errChanged: somebody else was faster.
var errChanged = errors.New("it was changed by somebody else meanwhile; nothing was written, try again")

// replaceFile changes a file's content from old to text in one step: readers
// see one or the other, also after a crash. Mode and owner stay; through a
// symlink its target is replaced. A file that is no longer old is refused.
func replaceFile(path string, old, text []byte) error {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	info, err := os.Stat(target)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	draft, err := writeDraft(target, text, info)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := swap(draft, target, old); err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(draft)))
	}
	return syncDir(filepath.Dir(target))
}

// writeDraft writes the text beside the target, safe on the disk.
func writeDraft(target string, text []byte, like fs.FileInfo) (draft string, err error) {
	file, err := os.CreateTemp(filepath.Dir(target), "."+filepath.Base(target)+".*")
	if err != nil {
		return "", err
	}
	defer func() {
		err = errors.Join(err, file.Close())
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	if _, err := file.Write(text); err != nil {
		return "", err
	}
	if err := makeAlike(file, like); err != nil {
		return "", err
	}
	return file.Name(), file.Sync()
}

// makeAlike gives the draft the mode and the owner of what it replaces.
func makeAlike(file *os.File, like fs.FileInfo) error {
	owner, ok := like.Sys().(*syscall.Stat_t)
	if ok && (int(owner.Uid) != os.Geteuid() || int(owner.Gid) != os.Getegid()) {
		if err := file.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
			return fmt.Errorf("keep its owner: %w; run this as its owner or as root", err)
		}
	}
	return file.Chmod(like.Mode().Perm())
}

func swap(draft, target string, old []byte) error {
	now, err := os.ReadFile(target)
	if err != nil {
		return err
	}
	if !bytes.Equal(now, old) {
		return errChanged
	}
	err = os.Rename(draft, target)
	if errors.Is(err, syscall.EBUSY) {
		return fmt.Errorf("%w; a file that is mounted by itself cannot be replaced: mount its folder, or edit it where it comes from", err)
	}
	return err
}

// syncDir makes the rename itself survive a power cut.
func syncDir(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	defer func() { _ = folder.Close() }() // only read
	if err := folder.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}
