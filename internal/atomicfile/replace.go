package atomicfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ErrChanged says that the file no longer has the content that the change was
// made from. The file was not written.
var ErrChanged = errors.New("it was changed by somebody else meanwhile; nothing was written, try again")

// Replace changes the content of an existing file from old to text. The mode
// and the owner of the file stay, and a symlink stays a symlink: its target is
// replaced. The change is synced to disk. The error is ErrChanged if the file
// does not contain old.
func Replace(path string, old, text []byte) error {
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

// writeDraft writes the text to a new file in the target's directory and syncs
// it to disk.
func writeDraft(target string, text []byte, targetInfo fs.FileInfo) (draft string, err error) {
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
	if err := copyModeAndOwner(file, targetInfo); err != nil {
		return "", err
	}
	return file.Name(), file.Sync()
}

func copyModeAndOwner(draft *os.File, targetInfo fs.FileInfo) error {
	owner, ok := targetInfo.Sys().(*syscall.Stat_t)
	if ok && (int(owner.Uid) != os.Geteuid() || int(owner.Gid) != os.Getegid()) {
		if err := draft.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
			return fmt.Errorf("keep its owner: %w; run this as its owner or as root", err)
		}
	}
	return draft.Chmod(targetInfo.Mode().Perm())
}

// swap renames the draft to the target if the target still contains old.
func swap(draft, target string, old []byte) error {
	current, err := os.ReadFile(target)
	if err != nil {
		return err
	}
	if !bytes.Equal(current, old) {
		return ErrChanged
	}
	err = os.Rename(draft, target)
	if errors.Is(err, syscall.EBUSY) {
		return fmt.Errorf("%w; a file that is mounted by itself cannot be replaced: mount its folder, or edit it where it comes from", err)
	}
	return err
}

// syncDir syncs the directory to disk, so that the rename survives a power cut.
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
