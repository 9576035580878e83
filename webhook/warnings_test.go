package webhook

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestWarningsFit: the API server cuts and drops none of the lines.
func TestWarningsFit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		given := rapid.SliceOfN(rapid.String(), 0, 40).Draw(t, "warnings")
		lines, size := formatWarnings(given), 0
		require.Len(t, lines, min(len(given), maxWarnings+1))
		for _, line := range lines {
			size += len(line)
			require.LessOrEqual(t, len(line), maxWarningBytes)
			require.True(t, strings.HasPrefix(line, warningPrefix) || line == strings.TrimSpace(warningPrefix), line)
			require.False(t, strings.ContainsAny(line, "\r\n\t"), line)
			if utf8.ValidString(strings.Join(given, "")) {
				require.True(t, utf8.ValidString(line))
			}
		}
		require.LessOrEqual(t, size, 4096)
	})
}

func TestManyWarningsAreCounted(t *testing.T) {
	t.Parallel()
	lines := formatWarnings(make([]string, 100))
	require.Equal(t, "migration-proxy: and 85 more warnings", lines[len(lines)-1])
}
