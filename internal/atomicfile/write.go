package atomicfile

import (
	"errors"
	"io/fs"
	"os"
)

// Write creates or replaces the file with the text. It writes path + ".tmp"
// first and renames it. The file is not synced to disk: after a power cut the
// file may have its old content.
func Write(path string, text []byte, mode fs.FileMode) error {
	draft := path + ".tmp"
	if err := os.WriteFile(draft, text, mode); err != nil {
		return err
	}
	if err := os.Rename(draft, path); err != nil {
		return errors.Join(err, os.Remove(draft))
	}
	return nil
}
