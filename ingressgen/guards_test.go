package ingressgen

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestOrder: the lists are the specification; later guards rely on what
// earlier ones let pass.
func TestOrder(t *testing.T) {
	t.Parallel()
	var paths, whole []string
	for _, g := range guards {
		paths = append(paths, g.code)
	}
	for _, r := range refusals {
		whole = append(whole, r.code)
	}
	require.Equal(t, []string{
		"ACMEChallenge", "ResourceBackend", "Lost", "NoHost", "HostUnknown", "PathUnknown", "PathWider",
		"OtherService", "ServiceBelow", "NotInCluster", "OtherBackend", "OtherPort",
	}, paths)
	require.Equal(t, []string{"Paused", "NoConfig", "IsSolver", "ModeUnknown", "ServiceUnknown", "IsCanary", "TooLarge"}, whole)
}
