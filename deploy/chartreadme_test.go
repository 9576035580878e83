package deploy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/migration-proxy/migration-proxy/internal/golden"
)

const chartIntroduction = `# migration-proxy

Moves live traffic from an old Kubernetes cluster to a new one, a few percent at a time, with an
instant and automatic way back. Install it once in the old cluster, after cert-manager:

` + "```" + `
kubectl create namespace migration-proxy
kubectl -n migration-proxy create configmap migration-config --from-file=migration.yaml=my-migration.yaml
kubectl -n migration-proxy label configmap migration-config migration-proxy.io/config=true
helm install migration-proxy oci://ghcr.io/migration-proxy/charts/migration-proxy -n migration-proxy --wait
kubectl annotate ingress -n shop shop migration-proxy.io/enabled=true
` + "```" + `

helm test migration-proxy -n migration-proxy tells whether it works. helm uninstall gives every
Ingress back as its user wrote it, before anything is deleted.
[Installation](https://github.com/migration-proxy/migration-proxy/blob/main/docs/install.md),
[operations](https://github.com/migration-proxy/migration-proxy/blob/main/docs/operations.md),
[security](https://github.com/migration-proxy/migration-proxy/blob/main/docs/security.md).

## Values

Made from values.yaml by ` + "`go test ./deploy -run TestChartReadme -update`" + `.

| value | default | |
|---|---|---|
`

// TestChartReadme: the page of the chart lists all values, with their comments.
func TestChartReadme(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("chart/values.yaml")
	require.NoError(t, err)
	var document yaml.Node
	require.NoError(t, yaml.Unmarshal(text, &document))
	page := bytes.NewBufferString(chartIntroduction)
	writeValues(t, page, "", document.Content[0])
	golden.Check(t, "chart/README.md", page.Bytes())
}

// writeValues writes a row for each key of a mapping, and then for those below it.
func writeValues(t *testing.T, page *bytes.Buffer, prefix string, mapping *yaml.Node) {
	t.Helper()
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		name, comment := prefix+key.Value, commentText(key.HeadComment, value.LineComment, key.LineComment)
		below := value.Kind == yaml.MappingNode && len(value.Content) > 0
		switch {
		case !below:
			var decoded any
			require.NoError(t, value.Decode(&decoded))
			shown, err := json.Marshal(decoded)
			require.NoError(t, err)
			fmt.Fprintf(page, "| `%s` | `%s` | %s |\n", name, shown, comment)
		case comment != "":
			fmt.Fprintf(page, "| `%s` | | %s |\n", name, comment)
		}
		if below {
			writeValues(t, page, name+".", value)
		}
	}
}

// commentText joins the lines of comments. It leaves out what is no sentence, but a value
// that is switched off: those lines are indented. A comment that a blank line separates from
// the key is about the file.
func commentText(comments ...string) string {
	var words []string
	for _, comment := range comments {
		if _, own, found := strings.Cut(comment, "\n\n"); found {
			comment = own
		}
		for line := range strings.Lines(comment) {
			line = strings.TrimRight(strings.TrimPrefix(line, "#"), "\n")
			if !strings.HasPrefix(line, "  ") {
				words = append(words, strings.TrimSpace(line))
			}
		}
	}
	return strings.ReplaceAll(strings.Join(words, " "), "|", `\|`)
}
