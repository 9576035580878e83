package accesslog

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestClientOf: both formats of the log say the same.
func TestClientOf(t *testing.T) {
	t.Parallel()
	line := `192.0.2.1 - - [01/Jan/2024:12:00:00 +0000] "GET / HTTP/1.1" 200 12 backend="old_backend" service="api" decision="bucket/12/34" upstream_status="200" user_agent="curl/8.0 (\x22a\x22)"`
	read := func(text string, format func([]byte) []byte) (Client, bool) { return ClientOf(format([]byte(text))) }
	for _, format := range []func([]byte) []byte{
		func(text []byte) []byte { return text },
		func(text []byte) []byte { return AppendJSON(nil, text) },
	} {
		client, ok := read(line, format)
		require.True(t, ok)
		require.Equal(t, Client{Service: "api", Address: "192.0.2.1", Agent: `curl/8.0 ("a")`}, client)
		client, ok = read(strings.Replace(line, `curl/8.0 (\x22a\x22)`, "-", 1), format)
		require.True(t, ok)
		require.Empty(t, client.Agent)
		_, ok = read(strings.Replace(line, "bucket/12/34", "old/compare", 1), format)
		require.False(t, ok, "a request of the agent")
	}
	for _, other := range []string{`{"level":"INFO"}`, "{", "time=2024 level=INFO"} {
		_, ok := ClientOf([]byte(other))
		require.False(t, ok, other)
	}
}
