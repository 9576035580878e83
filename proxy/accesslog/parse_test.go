package accesslog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/migration-proxy/migration-proxy/internal/golden"
	"github.com/migration-proxy/migration-proxy/migration"
)

// TestParse: testdata/lines/CASE.txt is a line, CASE.json what
// it means.
func TestParse(t *testing.T) {
	t.Parallel()
	for _, path := range cases(t, "testdata/lines/*.txt") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			event, err := Parse(read(t, path))
			require.NoError(t, err)
			golden.Check(t, strings.TrimSuffix(path, ".txt")+".json", meaning(t, event))
		})
	}
}

// TestParseErrors: testdata/refused/CASE.txt is a line, CASE.err why not.
func TestParseErrors(t *testing.T) {
	t.Parallel()
	for _, path := range cases(t, "testdata/refused/*.txt") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			_, err := Parse(read(t, path))
			require.Error(t, err)
			golden.Check(t, strings.TrimSuffix(path, ".txt")+".err", []byte(err.Error()+"\n"))
		})
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	line := read(t, "testdata/lines/rescued.txt")
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = Parse(line) }))
}

// TestParseCannotBeForged: whatever a client sends as request line, user and
// host, once nginx has escaped it the meaning of the line is the same.
func TestParseCannotBeForged(t *testing.T) {
	t.Parallel()
	format := `1.2.3.4 - %s [01/Jan/2024:12:00:00 +0000] "%s" 200 12 backend="old_backend" upstream_response_time=0.001 ` +
		`request_time=0.002 service="api" decision="old/ip_rule[2]" upstream_addr="10.0.0.3:80" upstream_status="200" ` +
		`upstream_connect_time="0.000" host="%s" request_id="r"`
	plain, err := Parse(fmt.Appendf(nil, format, "-", "GET / HTTP/1.1", "h"))
	require.NoError(t, err)
	hostile := rapid.OneOf(
		rapid.String(),
		rapid.StringMatching(`(["\\ =\[\]/:,-]|backend|new_backend|decision|bucket/00/00|\\x22|\n){0,12}`),
	)
	rapid.Check(t, func(t *rapid.T) {
		user, request, host := hostile.Draw(t, "user"), hostile.Draw(t, "request"), hostile.Draw(t, "host")
		line := fmt.Appendf(nil, format, nginxEscape(user), nginxEscape(request), nginxEscape(host))
		event, err := Parse(line)
		require.NoError(t, err)
		event.Method, event.Host, event.Target = plain.Method, plain.Host, plain.Target // what the client sent
		require.Equal(t, plain, event)
	})
}

// nginxEscape is ngx_http_log_escape: control characters, `"`, `\` and bytes
// from 0x7f on become \xHH.
func nginxEscape(text string) string {
	var escaped strings.Builder
	for i := range len(text) {
		c := text[i]
		if c < 0x20 || c == '"' || c == '\\' || c >= 0x7f {
			fmt.Fprintf(&escaped, `\x%02X`, c)
			continue
		}
		escaped.WriteByte(c)
	}
	return escaped.String()
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/lines/*.txt", "testdata/refused/*.txt"} {
		for _, path := range cases(f, pattern) {
			f.Add(read(f, path))
		}
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		before := bytes.Clone(line)
		event, err := Parse(line)
		require.Equal(t, before, line, "the line is forwarded as it came")
		if err != nil {
			return
		}
		require.Contains(t, []migration.Side{"", migration.Old, migration.New}, event.Decision)
		require.GreaterOrEqual(t, event.Status, 0)
		require.Less(t, event.Bucket, migration.Bucket(10000))
		if event.Rescued() {
			require.Equal(t, migration.New, event.Decision)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for _, name := range []string{"bucket_new", "rescued"} {
		line := read(b, "testdata/lines/"+name+".txt")
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = Parse(line)
			}
		})
	}
}

// meaning prints an event as JSON, its bytes as text and what follows from it.
func meaning(t *testing.T, e Event) []byte {
	t.Helper()
	side := func(o Upstream) any {
		if o.Tries == 0 {
			return nil
		}
		return map[string]any{
			"tries": o.Tries, "status": o.Status, "connected": o.Connected, "replied": o.Replied,
			"latency": o.Latency.String(), "failure": o.Failure(),
		}
	}
	all := map[string]any{
		"service": string(e.Service), "request_id": string(e.RequestID), "status": e.Status,
		"answered": e.Answered, "decision": e.Decision, "reason": e.Reason, "rule": e.Rule, "bucket": e.Bucket,
		"request_time": e.RequestTime.String(), "rescued": e.Rescued(), "new": side(e.New), "old": side(e.Old),
	}
	if e.Cached.Result != "" {
		all["cached"] = map[string]any{"result": e.Cached.Result, "side": e.Cached.Side}
	}
	text, err := json.MarshalIndent(all, "", "  ")
	require.NoError(t, err)
	return append(text, '\n')
}

func cases(t testing.TB, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	require.NoError(t, err)
	require.NotEmpty(t, paths, "a test without cases cannot fail")
	return paths
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return text
}
