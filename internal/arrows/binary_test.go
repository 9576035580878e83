package arrows

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBinaryHasNoTestCode: the released binary contains no package that only
// tests need.
func TestBinaryHasNoTestCode(t *testing.T) {
	t.Parallel()
	output, err := exec.Command("go", "list", "-deps", Module+"/cmd/migration-proxy").Output()
	require.NoError(t, err)
	packages := strings.Fields(string(output))
	require.Contains(t, packages, Module+"/migration")
	for _, name := range packages {
		for _, forbidden := range []string{
			"testing", Module + "/internal/arrows", Module + "/internal/controlplane", Module + "/internal/golden",
			Module + "/internal/testbed", Module + "/e2e", Module + "/bench", Module + "/proxy/behavior",
			"github.com/stretchr/testify", "github.com/rogpeppe/go-internal", "github.com/gorilla/websocket",
			"pgregory.net/rapid", "go.uber.org/goleak", "sigs.k8s.io/controller-runtime/pkg/envtest",
		} {
			require.False(t, name == forbidden || strings.HasPrefix(name, forbidden+"/"), "%s is in the binary", name)
		}
	}
}
