package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNearest pins the maximum distance between a misspelling and a known name.
func TestNearest(t *testing.T) {
	t.Parallel()
	cases := []struct {
		text  string
		known []string
		want  string
	}{
		{"gzpi", []string{"gzip"}, "gzip"},          // distance 2 is always allowed
		{"tiemout", []string{"timeout"}, "timeout"}, // 2 of 7 replaced
		{"timxyzt", []string{"timeout"}, ""},        // 3 of 7 replaced: too far
		{"percntge", []string{"percentage"}, "percentage"},
		{"retry_attxxxts", []string{"retry_attempts"}, "retry_attempts"}, // 3 of 14
		{"retryxxxattxxxts", []string{"retry_attempts"}, ""},             // 6 of 16: too far
		{"max_failxxxx", []string{"max_failures"}, "max_failures"},       // 4 of 12: a third
		{"max_faixxxxx", []string{"max_failures"}, ""},                   // 5 of 12: too far
		{"xy", []string{"ip"}, ""},                                       // all characters of the name are replaced
		{"Old-Host", []string{"new_host", "old_host"}, "old_host"},
		{"old_hosts", []string{"new_host", "old_host"}, "old_host"}, // the nearest of two
	}
	for _, c := range cases {
		got, ok := nearest(c.text, c.known)
		require.Equal(t, c.want, got, c.text)
		require.Equal(t, c.want != "", ok, c.text)
	}
}
