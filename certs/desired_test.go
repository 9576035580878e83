package certs

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/migration-proxy/migration-proxy/internal/golden"
)

func TestDesired(t *testing.T) {
	t.Parallel()
	var all bytes.Buffer
	for _, object := range Desired("migration-proxy") {
		text, err := yaml.Marshal(object)
		require.NoError(t, err)
		all.WriteString("---\n")
		all.Write(text)
	}
	golden.Check(t, "testdata/desired.yaml", all.Bytes())
}
