package privatedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// maxLinks is how many symlinks a way may have, as for the kernel.
const maxLinks = 40

// checkWay checks what exists of the way to a path, and gives the path without symlinks.
func checkWay(path string) (string, error) {
	for range maxLinks {
		target, linked, err := checkSteps(path)
		if err != nil || !linked {
			return path, err
		}
		path = target
	}
	return "", fmt.Errorf("%s has too many symlinks", path)
}

// checkSteps checks the steps up to the first symlink, which it replaces in the path.
func checkSteps(path string) (target string, linked bool, err error) {
	steps := strings.Split(strings.Trim(filepath.Clean(path), "/"), "/")
	at := "/"
	for i, step := range append([]string{""}, steps...) {
		at = filepath.Join(at, step)
		info, err := os.Lstat(at)
		if errors.Is(err, fs.ErrNotExist) {
			return path, false, nil // Open makes the rest
		}
		if err != nil {
			return "", false, err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			target, err := follow(at, info, steps[i:])
			return target, true, err
		}
		if err := checkStep(at, info, i == len(steps)); err != nil {
			return "", false, err
		}
	}
	return path, false, nil
}

// follow replaces a symlink by its target.
func follow(link string, info fs.FileInfo, rest []string) (string, error) {
	if owner := ownerOf(info); !trusted(owner) {
		return "", fmt.Errorf("%s is a symlink of user %d; remove it, or choose another", link, owner)
	}
	target, err := os.Readlink(link)
	if err != nil {
		return "", err
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(link), target)
	}
	return filepath.Join(append([]string{target}, rest...)...), nil
}

// checkStep refuses a directory on the way in which other users can replace what is in
// it. Those in a sticky directory can only replace what is theirs.
func checkStep(path string, info fs.FileInfo, last bool) error {
	owner := ownerOf(info)
	switch {
	case last: // secure looks at it, when it is open
		return nil
	case !trusted(owner):
		return fmt.Errorf("%s belongs to user %d, who can replace what is below it; choose another", path, owner)
	case info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0:
		return fmt.Errorf("%s has mode %#o: other users can replace what is below it; choose another, or take away the right to write (chmod o-w)", path, info.Mode().Perm())
	}
	return nil
}

// trusted are this program's user and root.
func trusted(user int) bool {
	return user == 0 || user == os.Geteuid() || user == overflowUser && rootIsUnknown()
}

// overflowUser is the owner that the kernel shows for users that a user namespace does
// not know.
const overflowUser = 65534

// rootIsUnknown tells whether this is a user namespace in which root of the machine has
// no number: its directories seem to belong to overflowUser.
var rootIsUnknown = sync.OnceValue(func() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[1] == "0" {
			return false
		}
	}
	return true
})
