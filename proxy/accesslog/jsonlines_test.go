package accesslog

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/golden"
)

// TestJSONLines: each line of the tests of Parse as JSON. Every object is one line and
// has the same key once, and docs/operations.md has every key.
func TestJSONLines(t *testing.T) {
	t.Parallel()
	operations, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	files, err := filepath.Glob("testdata/lines/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var all bytes.Buffer
	writer := NewJSONWriter(&all)
	for _, file := range files {
		lines, err := os.ReadFile(file)
		require.NoError(t, err)
		n, err := writer.Write(lines)
		require.NoError(t, err)
		require.Len(t, lines, n)
	}
	golden.Check(t, "testdata/json_lines.txt", all.Bytes())
	for line := range bytes.Lines(all.Bytes()) {
		var object map[string]any
		require.NoError(t, json.Unmarshal(line, &object), "%s", line)
		require.Len(t, regexp.MustCompile(`[{,]"[a-z_]+":`).FindAll(line, -1), len(object), "%s", line)
		for key := range object {
			if bytes.Contains(line, []byte("from_the_future")) || key == "request_length" || key == "upstream_bytes_sent" {
				continue // fields that no version has yet, and those of failures.sock
			}
			require.True(t, bytes.Contains(operations, []byte("`"+key+"`")), "docs/operations.md lacks field %s", key)
		}
	}
}

// TestJSONOfWhatClientsSend: no value of a client's ends the text or the line, and lines
// that are not understood are not lost.
func TestJSONOfWhatClientsSend(t *testing.T) {
	t.Parallel()
	of := func(line string) (object map[string]any) {
		t.Helper()
		text := AppendJSON(nil, []byte(line))
		require.NotContains(t, string(text), "\n")
		require.NoError(t, json.Unmarshal(text, &object), "%s", text)
		return object
	}
	object := of(`192.0.2.1 - a\x22b [01/Jan/2024:12:00:00 +0100] "GET /\x22,\x22x\x22:1\xC3\xA4\xFF HTTP/1.1" 200 12 backend="old_backend" ` +
		`upstream_response_time=0.030 request_time=0.040 service="api" decision="bucket/12/34" upstream_addr="10.0.0.3:80" upstream_status="200" host="a\x5Cb"` + "\n")
	require.Equal(t, map[string]any{
		"time": "2024-01-01T12:00:00+01:00", "remote_addr": "192.0.2.1", "remote_user": `a"b`, "method": "GET", "target": `/","x":1ä` + "\ufffd",
		"protocol": "HTTP/1.1", "status": 200.0, "body_bytes_sent": 12.0, "side": "old", "reason": "bucket", "bucket": 1234.0,
		"backend": "old_backend", "upstream_response_time": "0.030", "request_time": 0.04, "service": "api", "decision": "bucket/12/34",
		"upstream_addr": "10.0.0.3:80", "upstream_status": "200", "host": `a\b`,
	}, object)
	require.Equal(t, map[string]any{"line": `what "is this`}, of(`what "is this`))
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 3, errors.New("no space") }

func TestJSONWriterFails(t *testing.T) {
	t.Parallel()
	n, err := NewJSONWriter(brokenWriter{}).Write([]byte("a\nb\n"))
	require.EqualError(t, err, "no space")
	require.Zero(t, n, "all lines count as lost")
}

func FuzzAppendJSON(f *testing.F) {
	f.Add([]byte(`192.0.2.1 - - [01/Jan/2024:12:00:00 +0000] "GET /api HTTP/1.1" 200 12 backend="old_backend" decision="old/x" upstream_status="200" request_time=0.1`))
	f.Add([]byte(`" " 200`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if text := AppendJSON(nil, line); !json.Valid(text) || bytes.ContainsRune(text, '\n') {
			t.Fatalf("%q becomes %q", line, text)
		}
	})
}
