package webhook

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/migration-proxy/migration-proxy/internal/golden"
)

func TestConfigurations(t *testing.T) {
	t.Parallel()
	mutating, validating := Configurations(Install{Namespace: "migration-proxy", InjectFrom: "migration-proxy/migration-proxy-webhook"})
	var all bytes.Buffer
	for _, object := range []any{mutating, validating} {
		text, err := yaml.Marshal(object)
		require.NoError(t, err)
		all.WriteString("---\n")
		all.Write(text)
	}
	golden.Check(t, "testdata/configurations.yaml", all.Bytes())
}
