package status_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

func TestIngresses(t *testing.T) {
	t.Parallel()
	notes := status.Ingresses{Total: 2, Noted: []status.IngressNote{{Namespace: "shop", Name: "api", Phase: status.Bypassed, Text: "refused"}}}
	text, err := status.FormatIngresses(notes)
	require.NoError(t, err)
	parsed, err := status.ParseIngresses(map[string]string{status.IngressesKey: text})
	require.NoError(t, err)
	require.Equal(t, notes, parsed)

	parsed, err = status.ParseIngresses(nil)
	require.NoError(t, err)
	require.Zero(t, parsed)
	_, err = status.ParseIngresses(map[string]string{status.IngressesKey: "{"})
	require.ErrorContains(t, err, status.IngressesKey)
}
