package migration_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/migration"
)

func TestParseHeaderValue(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"1", "a b", strings.Repeat("x", 512)} {
		value, err := migration.ParseHeaderValue(good)
		require.NoError(t, err)
		require.Equal(t, good, value)
	}
	for bad, says := range map[string]string{
		"": "1 to 512 characters", strings.Repeat("x", 513): "1 to 512 characters",
		" a": "removes spaces", "a ": "removes spaces", "\ta": "removes spaces", " ": "removes spaces",
		"a\x01b": "printable ASCII", "ü": "printable ASCII", "a\x7f": "printable ASCII",
	} {
		_, err := migration.ParseHeaderValue(bad)
		require.ErrorContains(t, err, says, "%q", bad)
	}
}
