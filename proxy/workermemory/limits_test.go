package workermemory

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestRoom(t *testing.T) {
	t.Parallel()
	require.EqualValues(t, 100, room(1000, 700))
	require.Zero(t, room(1000, 900))
}

// TestLimits: the workers together never take more than what is free, and each may use
// what it has.
func TestLimits(t *testing.T) {
	t.Parallel()
	require.Equal(t, []int64{600, 570, 500}, limits(300, []worker{{data: 500, touched: 500}, {data: 500, touched: 470}, {data: 500, touched: 300}}))
	require.Empty(t, limits(300, nil))
	rapid.Check(t, func(t *rapid.T) {
		free := rapid.Int64Range(0, 1<<40).Draw(t, "free")
		workers := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) worker {
			data := rapid.Int64Range(0, 1<<40).Draw(t, "data")
			return worker{data: data, touched: rapid.Int64Range(0, data).Draw(t, "touched")}
		}), 1, 8).Draw(t, "workers")
		left := free
		for i, limit := range limits(free, workers) {
			w := workers[i]
			require.GreaterOrEqual(t, limit, w.data)
			if limit > w.data {
				left -= limit - w.touched
			}
		}
		require.GreaterOrEqual(t, left, int64(0))
	})
}

func TestUsedOfGroups(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ self, dir, file, stat string }{
		"a container":      {"0::/\n", "", "memory.current", "anon 1\nfile 500\ninactive_file 200\nactive_file 100\n"},
		"a service":        {"0::/system.slice/mp.service\n", "system.slice/mp.service", "memory.current", "inactive_file 200\nactive_file 100\n"},
		"a host's name":    {"0::/kubepods/pod1\n", "", "memory.current", "inactive_file 200\nactive_file 100\n"},
		"version 1":        {"9:name=systemd:/\n4:memory:/a\n0::/\n", "memory/a", "memory.usage_in_bytes", "inactive_file 9\ntotal_inactive_file 200\ntotal_active_file 100\n"},
		"version 1 mapped": {"4:memory:/docker/1\n", "memory", "memory.usage_in_bytes", "total_inactive_file 200\ntotal_active_file 100\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			self := filepath.Join(root, "self")
			require.NoError(t, os.WriteFile(self, []byte(c.self), 0o600))
			_, err := usedBelow(root, self)
			require.ErrorContains(t, err, "names no control group with a measure of memory")
			require.NoError(t, os.MkdirAll(filepath.Join(root, c.dir), 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(root, c.dir, c.file), []byte("1000\n"), 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(root, c.dir, "memory.stat"), []byte(c.stat), 0o600))
			used, err := usedBelow(root, self)
			require.NoError(t, err)
			require.EqualValues(t, 700, used)
		})
	}
}
