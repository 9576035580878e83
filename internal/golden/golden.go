package golden

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/diff"
)

var update = flag.Bool("update", false, "rewrite the golden files instead of comparing with them")

// T is the part of *testing.T that Check needs.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Updating reports whether this run rewrites golden files: a test may then
// delete files that it no longer makes.
func Updating() bool { return *update }

// Check compares got with the golden file, byte for byte, and stops the test
// with a unified diff. With -update it writes the file instead.
func Check(t T, path string, got []byte) {
	t.Helper()
	if err := check(path, got, *update); err != nil {
		t.Fatalf("%v", err)
	}
}

func check(path string, got []byte, update bool) error {
	if update {
		return write(path, got)
	}
	want, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("golden file %s does not exist: run make golden and look at what it writes", path)
	}
	if err != nil {
		return fmt.Errorf("read golden file: %w", err)
	}
	if difference := diff.Diff("golden", want, "made", got); difference != nil {
		return fmt.Errorf("%s is not what the test made:\n%s\nif the change is meant: make golden, and read git diff", path, difference)
	}
	return nil
}

func write(path string, got []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write golden file: %w", err)
	}
	if err := os.WriteFile(path, got, 0o644); err != nil {
		return fmt.Errorf("write golden file: %w", err)
	}
	return nil
}
