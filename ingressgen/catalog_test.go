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
		{ingressgen.Warned, "Warned: the Ingress is rewritten with a warning"},
		{ingressgen.Safe, "Safe: no change"},
	} {
		fmt.Fprintf(&page, "\n## %s\n\n| annotation | why | in mode canary |\n|---|---|---|\n", class.head)
		for _, a := range ingressgen.Catalog() {
			if a.Class == class.class {
				page.WriteString(documentLine(a))
			}
		}
	}
	page.WriteString(documentOthers())
	golden.Check(t, "../docs/annotations.md", page.Bytes())
}

// documentOthers is the part about other controllers.
func documentOthers() string {
	speak, name := ingressgen.AnnotationsOfOthers()
	return `
## Other controllers

These say how the controller speaks to a backend. An Ingress with a value for TLS, FastCGI or
the PROXY protocol, or for HTTP/2 without ` + "`protocol: grpc`" + ` in the service, is refused:
` + strings.Join(speak, ", ") + `. On a Service, where the controller reads them there too, they do not matter: the proxy
Service says what the proxy takes.

These hold for the Services that they name, so they must name the proxy Service too, which the
reason gives; otherwise the Ingress is refused: ` + strings.Join(name, ", ") + `.
`
}

func documentLine(a ingressgen.Annotation) string {
	name := "`" + a.Name + "`"
	if a.Retired {
		name += " (older versions)"
	}
	why := a.Reason
	switch condition := a.Condition(); {
	case condition != "" && a.Class == ingressgen.Adjusted:
		why += " There is a warning if " + condition + "."
	case condition != "":
		why += " Only if " + condition + "."
	}
	if a.Idle != "" {
		why += " With `" + a.Idle + "` it has no effect."
	}
	if a.Set != "" {
		why += " The adjusted value is `" + a.Set + "`."
	}
	canary := string(a.Canary)
	if a.CanaryReason != "" {
		canary += ": " + a.CanaryReason
	}
	return fmt.Sprintf("| %s | %s | %s |\n", name, why, canary)
}

const documentHead = `# Annotations of ingress-nginx

While an Ingress points at the proxy, its annotations apply to the controller's
requests to the proxy, no longer to its requests to the old Service. This page
says for each annotation of ingress-nginx what that means. A test generates it
from ` + "`ingressgen/table.go`" + ` (` + "`make golden`" + `). It lists the annotations of controller
v1.15.1 and those of older versions. All names begin with
` + "`nginx.ingress.kubernetes.io/`" + `.

* **refused**: it would break the Host header, the path or the TLS that the
  proxy relies on. The Ingress stays as the user wrote it; annotation
  ` + "`migration-proxy.io/reason`" + ` and an admission warning say why.
* **adjusted**: it would break requests to the proxy too, but another value
  avoids that. The user's value is kept in ` + "`migration-proxy.io/original`" + ` and is
  restored together with the paths. An annotation applies to all paths of an
  Ingress, so an Ingress is refused if some of its paths keep their backends. There
  is one limit: if you set the annotation to the adjusted value yourself, the
  proxy cannot see that change, and later restores the value before it. Opt the
  Ingress out first.
* **warned**: the Ingress is rewritten, and an admission warning says what changes.
* **safe**: it acts before the proxy, in the same way as without it.

An annotation that is not listed causes a warning. An annotation without a value
does nothing. Of other controllers, only the annotations in "Other controllers" are
checked: read their documentation for what others do to the Host header, the path, the
client's address and TLS to backends.

## rewrite-target and use-regex

The controller rewrites the path before the proxy sees it, in mode canary as well: there the
canary takes the main Ingress's rewrite. So not the path of the Ingress is compared with
path_prefix, but what arrives: paths that begin with the text of ` + "`rewrite-target`" + ` before its
first ` + "`$`" + `, or, with ` + "`use-regex`" + ` alone, with the text of the path before its first special
character, in any case of letters. New gets the same path as old.

| path | rewrite-target | arrives | path_prefix |
|---|---|---|---|
` + rewriteTable + `
All of it must belong to services with one ` + "`old_backend`" + `. Two applications of one host that are both
rewritten to ` + "`/$2`" + ` cannot be told apart, and their paths stay as they are: give each a host of its
own, or a rewrite-target of its own. A ` + "`rewrite-target`" + ` that is a URL is a redirect by the controller.

In mode canary the traffic to old does not pass through the proxy, so fewer
annotations can break it; but each annotation then affects new in the same way
as old.

Mode canary needs a controller that knows canary annotations, and a Service and
port that no other Ingress of the namespace uses; otherwise the Ingress is
` + "`Bypassed`" + `, and annotation ` + "`reason`" + ` says why ([operations](operations.md#mode-canary)).
`

const rewriteTable = "| `/shop(/\\|$)(.*)` | `/$2` | anything | `/` |\n" +
	"| `/shop(/\\|$)(.*)` | `/v1/$2` | what begins with `/v1/` | `/v1` or `/` |\n" +
	"| `/shop` | `/` | `/` | `/` |\n" +
	"| `/api/v[0-9]+` | | what begins with `/api/v` or `/API/V` | `/api` or `/` |\n"
