package ingressgen_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/ingressgen"
)

// TestIsCompanion: the label alone makes no companion.
func TestIsCompanion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		label, name, service, port string
		want                       bool
	}{
		{"migration-proxy", "api-migration", "api-migration", "8001", true},
		{"migration-proxy", "a.b-migration", "canary-8a7d3cd2b0b1be85-migration", "8001", false}, // the Service of another Ingress's companion
		{"Helm", "api-migration", "api-migration", "8001", false},
		{"migration-proxy", "api", "api-migration", "8001", false},
		{"migration-proxy", "api-migration", "web-migration", "8001", false},
		{"migration-proxy", "api-migration", "api-migration", "80", false},
	} {
		require.Equal(t, c.want, ingressgen.IsCompanion(parse(t, []byte(`{"metadata":{"name":"`+c.name+`",
			"labels":{"app.kubernetes.io/managed-by":"`+c.label+`"}},"spec":{"rules":[{"host":"a.example.com","http":{"paths":[
			{"path":"/","backend":{"service":{"name":"`+c.service+`","port":{"number":`+c.port+`}}}}]}}]}}`))), "%v", c)
	}
	empty := parse(t, []byte(`{"metadata":{"name":"api-migration","labels":{"app.kubernetes.io/managed-by":"migration-proxy"}}}`))
	require.False(t, ingressgen.IsCompanion(empty))
}
