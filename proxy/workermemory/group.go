package workermemory

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// usedByGroup measures the control group of this process.
func usedByGroup() (int64, error) { return usedBelow("/sys/fs/cgroup", "/proc/self/cgroup") }

// usedBelow gives the memory of the control group that a file like /proc/self/cgroup
// names: all that it has, less the files that the kernel can drop. In a container the
// group may be mounted at the root of the others.
func usedBelow(root, self string) (int64, error) {
	text, err := os.ReadFile(self)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) < 3 {
			continue
		}
		mount, file, prefix := root, "memory.current", ""
		switch {
		case parts[0] == "0": // version 2
		case parts[1] == "memory":
			mount, file, prefix = filepath.Join(root, "memory"), "memory.usage_in_bytes", "total_"
		default:
			continue
		}
		for _, dir := range []string{filepath.Join(mount, parts[2]), mount} {
			used, err := usedOf(dir, file, prefix)
			if !errors.Is(err, fs.ErrNotExist) {
				return used, err
			}
		}
	}
	return 0, fmt.Errorf("%s names no control group with a measure of memory", self)
}

func usedOf(dir, file, prefix string) (int64, error) {
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0, err
	}
	used, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", filepath.Join(dir, file), err)
	}
	details, err := os.ReadFile(filepath.Join(dir, "memory.stat"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(details)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if key != prefix+"inactive_file" && key != prefix+"active_file" {
			continue
		}
		dropped, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read %s of %s: %w", key, dir, err)
		}
		used -= dropped
	}
	return used, nil
}
