package ingressgen

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestOrderOfChecks: the lists are the specification. A later check relies on
// what the earlier ones let pass.
func TestOrderOfChecks(t *testing.T) {
	t.Parallel()
	var ofPaths, ofIngress []string
	for _, check := range pathChecks {
		ofPaths = append(ofPaths, check.code)
	}
	for _, check := range ingressChecks {
		ofIngress = append(ofIngress, check.code)
	}
	require.Equal(t, []string{
		"ACMEChallenge", "ResourceBackend", "Lost", "NotRestorable", "NoHost", "HostUnknown", "PathUnknown", "PathWider",
		"OtherService", "ServiceBelow", "LoosenedByNeighbor", "NotInCluster", "OtherBackend", "OtherPort", "ExternalPort",
	}, ofPaths)
	require.Equal(t, []string{"Paused", "NoConfig", "IsSolver", "ModeUnknown", "ServiceUnknown", "IsCanary", "TooLarge"}, ofIngress)
}
