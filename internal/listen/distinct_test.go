package listen

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func flag(t *testing.T, name, text string) Flag {
	f := Flag{Name: name}
	require.NoError(t, f.Address.Set(text))
	return f
}

func TestDistinct(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		first, second string
		distinct      bool
	}{
		{":8000", ":8001", true},
		{":8000", ":8000", false},
		{"127.0.0.1:8000", "127.0.0.1:8000", false},
		{"127.0.0.1:8000", "127.0.0.2:8000", true},
		{"127.0.0.1:8000", ":8000", false},
		{"0.0.0.0:8000", "127.0.0.1:8000", false},
		{"0.0.0.0:8000", "[::1]:8000", true},
		{"[::]:8000", "127.0.0.1:8000", false},
		{"[::]:8000", "0.0.0.0:8000", false},
		{"[::1]:8000", "127.0.0.1:8000", true},
	} {
		for _, pair := range [][2]string{{c.first, c.second}, {c.second, c.first}} {
			err := Distinct(flag(t, "other", ":1"), flag(t, "listen", pair[0]), flag(t, "http", pair[1]))
			require.Equal(t, c.distinct, err == nil, "%v: %v", pair, err)
		}
	}
	err := Distinct(flag(t, "listen", ":8000"), flag(t, "http", "127.0.0.1:8000"))
	require.EqualError(t, err, "--listen :8000 and --http 127.0.0.1:8000 have the same port; choose another with --http or $MIGRATION_PROXY_HTTP")
}

func TestDistinctPorts(t *testing.T) {
	t.Parallel()
	require.NoError(t, DistinctPorts(flag(t, "listen", ":8000"), flag(t, "listen-new", ":8001")))
	require.ErrorContains(t, DistinctPorts(flag(t, "listen", "127.0.0.1:8000"), flag(t, "listen-new", "127.0.0.2:8000")),
		"--listen 127.0.0.1:8000 and --listen-new 127.0.0.2:8000 have the same port; choose another with --listen-new")
}
