package arrows

import (
	"os"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// What several rooms share.
var (
	testLibraries = []string{
		"github.com/stretchr/testify", "pgregory.net/rapid", "go.uber.org/goleak",
		"github.com/rogpeppe/go-internal", "github.com/gorilla/websocket",
	}
	// The tests of a pure room may load a config and use our test tools, but
	// not the rooms that depend on it.
	pureTests  = slices.Concat(testLibraries, []string{"internal", "config", "migration"})
	otherTests = []string{Anything}

	kubernetes        = []string{"k8s.io/api", "k8s.io/apimachinery"}
	clientGo          = "k8s.io/client-go"
	controllerRuntime = "sigs.k8s.io/controller-runtime"
	prometheus        = "github.com/prometheus/client_golang"
	fsnotify          = "github.com/fsnotify/fsnotify"
)

// rooms is the one table of arrows: who may import whom.
var rooms = map[string]Room{
	"names":     {Pure: true},
	"migration": {Pure: true, Tests: pureTests},
	"status":    {Pure: true, Tests: pureTests},
	"fallback":  {Pure: true, Tests: pureTests},
	"nginxgen": {
		Imports: []string{"migration", "github.com/nginxinc/nginx-go-crossplane"},
		Tests:   pureTests, Pure: true,
	},
	"ingressgen": {
		Imports: slices.Concat([]string{"migration", "names", "status"}, kubernetes),
		Tests:   slices.Concat(pureTests, []string{"sigs.k8s.io/yaml", "github.com/evanphx/json-patch"}), Pure: true,
	},
	"config": {
		Imports: []string{
			"migration", "gopkg.in/yaml.v3", fsnotify,
			"github.com/invopop/jsonschema", "github.com/santhosh-tekuri/jsonschema",
		},
		Tests: otherTests,
	},
	"proxy": {
		Imports: []string{"migration", "fallback", "nginxgen", "status", prometheus, "golang.org/x/sys", "golang.org/x/sync", fsnotify},
		Tests:   otherTests,
	},
	"api": {Imports: []string{"migration", "fallback", "status", prometheus}, Tests: otherTests},
	// cluster is what the parts ask of the Kubernetes API in common.
	"cluster": {
		Imports: slices.Concat([]string{"names", "status", clientGo}, kubernetes),
		Tests:   otherTests,
	},
	"certs": {
		Imports: slices.Concat([]string{"names", "github.com/cert-manager/cert-manager", controllerRuntime, prometheus}, kubernetes),
		Tests:   otherTests,
	},
	"webhook": {
		Imports: slices.Concat([]string{"migration", "names", "status", "config", "ingressgen", "cluster", clientGo, controllerRuntime, prometheus, "golang.org/x/sync"}, kubernetes),
		Tests:   otherTests,
	},
	"watcher": {
		Imports: slices.Concat([]string{"migration", "names", "config", "status", "ingressgen", "cluster", clientGo, prometheus}, kubernetes),
		Tests:   otherTests,
	},
	// internal serves tests and the demo. It knows the nouns and no room.
	"internal": {
		Imports: slices.Concat([]string{
			"migration", clientGo, controllerRuntime, "sigs.k8s.io/yaml", "github.com/miekg/dns", "golang.org/x/sys",
		}, kubernetes, testLibraries),
		Tests: otherTests,
	},
	// A black box has no room of ours, only clients and our test tools.
	"e2e": {
		Imports: slices.Concat([]string{
			"internal", clientGo, controllerRuntime, "sigs.k8s.io/yaml", "github.com/cert-manager/cert-manager", "golang.org/x/sync",
		}, kubernetes, testLibraries),
	},
	"cmd":   {Imports: []string{Anything}},
	"bench": {Imports: []string{Anything}},
	// Only tests, of the rendered chart.
	"deploy": {Tests: otherTests},
	// Only tests, of the built binary; what it cannot be told (name servers)
	// is tried with the agent itself.
	"faults": {Tests: otherTests},
}

func TestArrows(t *testing.T) {
	t.Parallel()
	found, err := Check(os.DirFS("../.."), rooms)
	require.NoError(t, err)
	require.Empty(t, found, "see docs/architecture.md: change the code, or the table and the document")
}

// TestCheckFinds proves that the checker can fail: each file has one import,
// and the line that it must lead to.
func TestCheckFinds(t *testing.T) {
	t.Parallel()
	const own = Module + "/"
	cases := []struct{ file, imports, want string }{
		{"migration/a.go", "net/netip", ""},
		{"migration/a.go", own + "config", "no arrow from migration"},
		{"migration/deep/a.go", own + "config", "no arrow from migration"},
		{"migration/a.go", "gopkg.in/yaml.v3", "no arrow from migration"},
		{"migration/a.go", "os", "the room migration is pure"},
		{"migration/a.go", own + "migration/sub", ""},
		{"migration/a_test.go", "os", ""},
		{"migration/a_test.go", own + "internal/golden", ""},
		{"migration/a_test.go", own + "proxy", "no arrow from migration"},
		{"config/a.go", "gopkg.in/yaml.v3", ""},
		{"config/a.go", "gopkg.in/yaml.v30", "no arrow from config"},
		{"config/a.go", own + "internal/testbed", "no arrow from config"},
		{"config/a_test.go", own + "proxy", ""},
		{"e2e/a_test.go", own + "proxy", "no arrow from e2e"},
		{"cmd/migration-proxy/a.go", own + "proxy", ""},
		{"util/a.go", "fmt", "the room util has no line in the table"},
		{"config/testdata/a.go", own + "proxy", ""},
		{".hidden/a.go", own + "proxy", ""},
	}
	for _, c := range cases {
		tree := fstest.MapFS{c.file: {Data: []byte("package a\n\nimport _ \"" + c.imports + "\"\n")}}
		found, err := Check(tree, rooms)
		require.NoError(t, err)
		if c.want == "" {
			require.Empty(t, found, "%s imports %s", c.file, c.imports)
			continue
		}
		require.Len(t, found, 1, "%s imports %s", c.file, c.imports)
		require.Contains(t, found[0], c.want)
		require.Contains(t, found[0], c.file)
	}
}

func TestCheckRefusesWhatDoesNotParse(t *testing.T) {
	t.Parallel()
	_, err := Check(fstest.MapFS{"api/a.go": {Data: []byte("no package")}}, rooms)
	require.ErrorContains(t, err, "api/a.go")
}
