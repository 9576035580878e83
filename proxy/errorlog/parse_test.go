package errorlog

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/migration-proxy/migration-proxy/internal/golden"
)

func files(t testing.TB, pattern string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	texts := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		texts[path] = strings.TrimSuffix(string(text), "\n")
	}
	return texts
}

// TestParseReadsEachLine: testdata/lines/CASE.txt is a line, CASE.json its
// Complaint.
func TestParseReadsEachLine(t *testing.T) {
	t.Parallel()
	for path, line := range files(t, "testdata/lines/*.txt") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			c, ok := Parse(line)
			require.True(t, ok)
			text, err := json.MarshalIndent(c, "", "  ")
			require.NoError(t, err)
			golden.Check(t, strings.TrimSuffix(path, ".txt")+".json", append(text, '\n'))
		})
	}
}

// TestParseRefusesOtherLines: the lines in testdata/others are no failure of a
// backend, or incomplete.
func TestParseRefusesOtherLines(t *testing.T) {
	t.Parallel()
	for path, line := range files(t, "testdata/others/*.txt") {
		_, ok := Parse(line)
		require.False(t, ok, path)
	}
}

// TestParseCannotBeForged: no path, host or referrer of a client changes the
// server and the address.
func TestParseCannotBeForged(t *testing.T) {
	t.Parallel()
	const format = `*1 recv() failed (104: Connection reset by peer) while reading upstream, client: 192.0.2.1, ` +
		`server: api.example.com, request: "GET /%s HTTP/1.1", upstream: "http://198.51.100.7:80/%s", host: "%s", referrer: "%s"`
	hostile := rapid.OneOf(rapid.StringMatching(`[ -~]{0,60}`), rapid.Just(`" HTTP/1.1", upstream: "http://203.0.113.1:80/`),
		rapid.Just(`, client: 1, server: other.example.com, request: "GET / HTTP/1.1", upstream: "http://203.0.113.1:80/`))
	rapid.Check(t, func(t *rapid.T) {
		// nginx from 1.21.1 on answers 400 to a target with a space.
		target := strings.ReplaceAll(hostile.Draw(t, "target"), " ", "")
		c, ok := Parse(fmt.Sprintf(format, target, target, hostile.Draw(t, "host"), hostile.Draw(t, "referrer")))
		if !ok {
			return // nginx refuses such a path too
		}
		require.Equal(t, "api.example.com", c.Server)
		require.Equal(t, "198.51.100.7:80", c.Address.String())
	})
}

// FuzzParse: no line makes Parse panic, and a Complaint is complete.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/lines/*.txt", "testdata/others/*.txt"} {
		for _, line := range files(f, pattern) {
			f.Add(line)
		}
	}
	f.Fuzz(func(t *testing.T, line string) {
		c, ok := Parse(line)
		if !ok {
			return
		}
		require.NotEmpty(t, c.Failure)
		require.NotEmpty(t, c.Server)
		require.True(t, strings.HasPrefix(c.Path, "/"))
		require.True(t, c.Address.IsValid())
		require.Contains(t, line, c.Message)
	})
}
