package webhook

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// What the API server takes without cutting or dropping.
func TestWarningsFit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		given := rapid.SliceOfN(rapid.String(), 0, 40).Draw(t, "warnings")
		lines, all := told(given), 0
		require.Len(t, lines, min(len(given), mostWarnings+1))
		for _, line := range lines {
			all += len(line)
			require.LessOrEqual(t, len(line), longestWarning)
			require.True(t, strings.HasPrefix(line, speaker) || line == strings.TrimSpace(speaker), line)
			require.False(t, strings.ContainsAny(line, "\r\n\t"), line)
			if utf8.ValidString(strings.Join(given, "")) {
				require.True(t, utf8.ValidString(line))
			}
		}
		require.LessOrEqual(t, all, 4096)
	})
}

func TestManyWarningsAreCounted(t *testing.T) {
	t.Parallel()
	lines := told(make([]string, 100))
	require.Equal(t, "migration-proxy: and 85 more warnings", lines[len(lines)-1])
}
