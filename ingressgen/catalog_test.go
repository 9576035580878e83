package ingressgen_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/golden"
)

// TestCatalogIsComplete: every annotation of the newest ingress-nginx, aliases
// included, has a class. The list is from its table of annotations and risks.
func TestCatalogIsComplete(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/ingress-nginx-v1.15.1.txt")
	require.NoError(t, err)
	names := strings.Fields(string(text))
	require.Len(t, names, 138)
	listed := map[string]bool{}
	for _, a := range ingressgen.Catalog() {
		listed[a.Name] = true
		require.Equal(t, slices.Contains(names, a.Name), !a.Retired, "%s: Retired", a.Name)
	}
	for _, name := range names {
		require.True(t, listed[name], "annotation %s has no class", name)
	}
}

// TestCatalogIsConsistent: the table is sorted, and each entry has the fields
// that its class needs.
func TestCatalogIsConsistent(t *testing.T) {
	t.Parallel()
	table := ingressgen.Catalog()
	require.True(t, slices.IsSortedFunc(table, func(a, b ingressgen.Annotation) int { return strings.Compare(a.Name, b.Name) }))
	for i, a := range table {
		require.True(t, i == 0 || table[i-1].Name != a.Name, "%s is listed twice", a.Name)
		require.Contains(t, []ingressgen.Class{ingressgen.Safe, ingressgen.Adjusted, ingressgen.Refused, ingressgen.Warned}, a.Class, a.Name)
		require.Contains(t, []ingressgen.Class{ingressgen.Safe, ingressgen.Refused, ingressgen.Warned}, a.Canary, "%s: old needs the value too", a.Name)
		require.Equal(t, a.Class == ingressgen.Adjusted, a.Set != "", a.Name)
		require.Regexp(t, `^[A-Z].*\.$`, a.Reason, a.Name)
	}
}

// TestDocument: docs/annotations.md is made from the table.
func TestDocument(t *testing.T) {
	t.Parallel()
	var page bytes.Buffer
	page.WriteString(documentHead)
	for _, class := range []struct {
		class ingressgen.Class
		head  string
	}{
		{ingressgen.Refused, "Refused: the Ingress stays as it is"},
		{ingressgen.Adjusted, "Adjusted: another value while the Ingress is rewritten"},
		{ingressgen.Warned, "Warned: rewritten, and admission says what changes"},
		{ingressgen.Safe, "Safe: acts as before"},
	} {
		fmt.Fprintf(&page, "\n## %s\n\n| annotation | why | in mode canary |\n|---|---|---|\n", class.head)
		for _, a := range ingressgen.Catalog() {
			if a.Class == class.class {
				page.WriteString(documentLine(a))
			}
		}
	}
	golden.Check(t, "../docs/annotations.md", page.Bytes())
}

func documentLine(a ingressgen.Annotation) string {
	name := "`" + a.Name + "`"
	if a.Retired {
		name += " (older versions)"
	}
	why := a.Reason
	switch condition := a.Condition(); {
	case condition != "" && a.Class == ingressgen.Adjusted:
		why += " Admission says so if " + condition + "."
	case condition != "":
		why += " Only if " + condition + "."
	}
	if a.Idle != "" {
		why += " Not with `" + a.Idle + "`."
	}
	if a.Set != "" {
		why += " Becomes `" + a.Set + "`."
	}
	canary := string(a.Canary)
	if a.CanaryReason != "" {
		canary += ": " + a.CanaryReason
	}
	return fmt.Sprintf("| %s | %s | %s |\n", name, why, canary)
}

const documentHead = `# Annotations of ingress-nginx

Once an Ingress points at the proxy, the annotations of the old controller act
on the hop to the proxy, no longer on the hop to the old Service. This page
says for each annotation of ingress-nginx what that means. It is made from
` + "`ingressgen/table.go`" + ` (` + "`make golden`" + `), and lists what controller v1.15.1 knows and
what older versions knew. All names begin with ` + "`nginx.ingress.kubernetes.io/`" + `.

* **refused**: it would break the Host header, the path or the TLS that the
  proxy relies on. The Ingress stays as the user wrote it; annotation
  ` + "`migration-proxy.io/reason`" + ` and an admission warning say why.
* **adjusted**: it would break the hop too, but another value mends it. The
  user's value is kept in ` + "`migration-proxy.io/original`" + ` and comes back with
  everything else. It holds for all paths of an Ingress, so an Ingress of which
  a part stays on its backends is refused. One thing cannot be told apart: if you
  change the annotation to the very value that it already has now, the recorded
  one comes back later; opt out first.
* **warned**: the Ingress is rewritten, and admission says what changes.
* **safe**: it acts in front of the proxy, as it did before.

Names that are not listed are warned about. An annotation without a value does
nothing. Those of other controllers are not judged: read their documentation
for what they do to the Host header, the path, the client's address and TLS
towards backends.

In mode canary old traffic does not cross the proxy, so less can break; but what
the annotation does to old it does to new as well.

ingress-nginx keeps a canary with the old Service and port, not with the host
and path. Another Ingress that points at the same Service and port gets the
canary too: give it a Service of its own, or use mode proxy.
`
