package arrows

import (
	"maps"
	"os"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// What several packages share.
var (
	testLibraries = []string{
		"github.com/stretchr/testify", "pgregory.net/rapid", "go.uber.org/goleak",
		"github.com/rogpeppe/go-internal", "github.com/gorilla/websocket",
	}
	// The tests of a pure package may load a config and use our test tools, but
	// not the packages that depend on it.
	pureTests  = slices.Concat(testLibraries, []string{"internal/golden", "internal/testbed", "config", "migration"})
	otherTests = []string{"..."}

	kubernetes        = []string{"k8s.io/api", "k8s.io/apimachinery"}
	clientGo          = "k8s.io/client-go"
	controllerRuntime = "sigs.k8s.io/controller-runtime"
	prometheus        = "github.com/prometheus/client_golang"
)

// table is the one table of arrows: who may import whom.
var table = map[string]Package{
	// The domain and what is generated from it.
	"migration":        {Imports: []string{"internal/excerpt"}, Pure: true, Tests: pureTests},
	"fallback":         {Imports: []string{"internal/excerpt", "internal/status"}, Pure: true, Tests: pureTests},
	"ramp":             {Imports: []string{"migration"}, Pure: true, Tests: pureTests},
	"compare":          {Pure: true, Tests: pureTests},
	"ramp/leader":      {Imports: []string{"internal/status", "journal", "migration", "ramp"}, Tests: otherTests},
	"internal/excerpt": {Pure: true, Tests: testLibraries},
	"internal/beat":    {Tests: testLibraries},
	"journal":          {Imports: []string{"internal/excerpt", "internal/status", "migration"}, Pure: true, Tests: pureTests},
	"notify":           {Imports: []string{"journal", "migration"}, Pure: true, Tests: pureTests},
	"internal/names":   {Pure: true},
	"internal/status":  {Pure: true, Tests: pureTests},
	"internal/history": {Imports: []string{"internal/status"}, Pure: true, Tests: pureTests},
	"internal/page": {
		Imports: []string{"internal/excerpt", "internal/history", "internal/rampview", "internal/status", "journal", "ramp"}, Pure: true, Tests: pureTests,
	},
	"internal/pageserver": {Imports: []string{"internal/cli/explain", "internal/page", "internal/status", "migration"}, Tests: otherTests},
	"internal/rampview": {
		Imports: []string{"internal/status", "migration", "ramp"}, Pure: true, Tests: pureTests,
	},
	"nginxgen": {
		Imports: []string{"migration", "github.com/nginxinc/nginx-go-crossplane"},
		Tests:   pureTests, Pure: true,
	},
	"ingressgen": {
		Imports: slices.Concat([]string{"migration", "internal/names", "internal/status"}, kubernetes),
		Tests:   slices.Concat(pureTests, []string{"sigs.k8s.io/yaml", "github.com/evanphx/json-patch"}), Pure: true,
	},
	"scan": {
		Imports: slices.Concat([]string{"migration", "ingressgen", "internal/status"}, kubernetes), Tests: pureTests, Pure: true,
	},
	"finish": {
		Imports: slices.Concat([]string{"compare", "internal/status", "journal", "migration", "github.com/cert-manager/cert-manager", "sigs.k8s.io/gateway-api"}, kubernetes),
		Tests:   slices.Concat(pureTests, []string{"sigs.k8s.io/yaml"}), Pure: true,
	},
	"config": {
		Imports: []string{"migration", "journal", "internal/excerpt", "gopkg.in/yaml.v3", "github.com/fsnotify/fsnotify"},
		Tests:   otherTests,
	},

	// The data plane.
	"proxy": {
		Imports: []string{
			"internal/beat", "internal/pause", "migration", "nginxgen", "internal/privatedir", "internal/status", "proxy/certfiles", "proxy/errorlog", "proxy/nginx", "proxy/resolve", "proxy/weights", "proxy/workermemory", "golang.org/x/sys",
		},
		Tests: otherTests,
	},
	"proxy/accesslog": {Imports: []string{"internal/beat", "migration", "fallback", "internal/status", prometheus, "internal/linux"}, Tests: otherTests},
	"proxy/breaker": {
		Imports: []string{
			"internal/beat", "migration", "fallback", "internal/atomicfile", "internal/status", "proxy/accesslog", "proxy/errorlog", "proxy/health", prometheus,
		},
		Tests: otherTests,
	},
	"proxy/behavior":     {Tests: otherTests},
	"proxy/workermemory": {Imports: []string{"internal/beat", "golang.org/x/sys", "internal/linux"}, Tests: otherTests},
	"proxy/cacheroom":    {Imports: []string{"internal/beat", "golang.org/x/sys"}, Tests: otherTests},
	"proxy/certfiles":    {Imports: []string{"migration", "nginxgen"}, Tests: otherTests},
	"proxy/configsync": {
		Imports: []string{
			"internal/beat", "migration", "config", "internal/atomicfile", "internal/kube", "internal/status", "golang.org/x/sync", "k8s.io/api",
		},
		Tests: otherTests,
	},
	"proxy/dataplane": {
		Imports: []string{
			"migration", "nginxgen", "internal/history", "internal/httpapi", "internal/listen", "internal/page", "internal/pageserver", "internal/rampview", "internal/status",
			"proxy", "proxy/accesslog", "proxy/breaker", "proxy/cacheroom", "proxy/configsync", "proxy/drills", "proxy/localjournal", "proxy/localramp", "proxy/positions", "proxy/sampling", prometheus, "golang.org/x/sync",
		},
		Tests: otherTests,
	},
	"proxy/drills":       {Imports: []string{"internal/beat", "internal/atomicfile", "internal/status"}, Tests: otherTests},
	"proxy/errorlog":     {Imports: []string{"migration", "fallback"}, Tests: pureTests, Pure: true},
	"proxy/health":       {Imports: []string{"migration", "fallback"}, Tests: otherTests},
	"proxy/nginx":        {Imports: []string{"internal/beat", "migration", "nginxgen", "internal/atomicfile", "internal/linux", "internal/pause", "golang.org/x/sys"}, Tests: otherTests},
	"proxy/localramp":    {Imports: []string{"migration", "internal/atomicfile", "internal/status", "journal", "ramp", "ramp/leader"}, Tests: otherTests},
	"proxy/localjournal": {Imports: []string{"internal/beat", "internal/atomicfile", "internal/status", "journal", "migration", "proxy/drills"}, Tests: otherTests},
	"proxy/positions": {
		Imports: []string{"migration", "internal/atomicfile", "internal/kube", "internal/status", "k8s.io/api"},
		Tests:   otherTests,
	},
	"proxy/sampling": {Imports: []string{"compare", "internal/status", "migration", "nginxgen", "proxy/accesslog", "proxy/errorlog", prometheus}, Tests: otherTests},
	"proxy/resolve":  {Imports: []string{"migration", "golang.org/x/sync"}, Tests: otherTests},
	"proxy/weights":  {Imports: []string{"migration"}, Tests: otherTests},

	// The cluster's side.
	"certs": {
		Imports: []string{"internal/names", prometheus, "k8s.io/api"}, Tests: otherTests,
	},
	"webhook": {
		Imports: slices.Concat([]string{
			"migration", "config", "ingressgen", "internal/connections", "internal/excerpt", "internal/kube", "internal/names", "internal/status", "journal", "ramp",
			clientGo, controllerRuntime, prometheus,
		}, kubernetes),
		Tests: otherTests,
	},
	"watcher": {
		Imports: slices.Concat([]string{
			"migration", "config", "ingressgen", "internal/excerpt", "internal/gauge", "internal/kube", "internal/names", "internal/status", "journal",
			"watcher/apiwrite", "watcher/clusterjournal", "watcher/clusterramp", "watcher/desiredstate", "watcher/events", "watcher/notifier",
			"watcher/objects", "watcher/reconcile", "watcher/servicestate", clientGo, prometheus,
		}, kubernetes),
		Tests: otherTests,
	},
	"watcher/objects": {
		Imports: slices.Concat([]string{"ingressgen", "internal/kube", "internal/names", clientGo}, kubernetes), Tests: otherTests,
	},
	"watcher/reconcile": {
		Imports: slices.Concat([]string{
			"ingressgen", "internal/excerpt", "internal/kube", "internal/names", "internal/status", "migration",
			"watcher/apiwrite", "watcher/desiredstate", "watcher/events", "watcher/fieldowners", "watcher/objects", "watcher/servicestate", clientGo,
		}, kubernetes),
	},
	"watcher/apiwrite": {Imports: []string{"internal/kube", "internal/names", "k8s.io/apimachinery", prometheus}},
	"watcher/clusterjournal": {
		Imports: slices.Concat([]string{
			"internal/excerpt", "internal/kube", "internal/names", "internal/pause", "journal", "migration", "watcher/apiwrite", "watcher/events", "watcher/notifier",
		}, kubernetes),
	},
	"watcher/clusterramp": {
		Imports: []string{
			"internal/gauge", "internal/kube", "internal/pause", "internal/status", "migration", "ramp", "ramp/leader",
			"watcher/apiwrite", "watcher/clusterjournal", "watcher/desiredstate", "watcher/events", prometheus, "k8s.io/api", "k8s.io/apimachinery",
		},
	},
	"watcher/desiredstate": {Imports: []string{"ingressgen", "internal/status", "migration", "k8s.io/api"}, Tests: pureTests, Pure: true},
	"watcher/events": {
		Imports: slices.Concat([]string{"ingressgen", "internal/excerpt", "internal/names", "internal/status", clientGo}, kubernetes), Tests: otherTests,
	},
	"watcher/fieldowners": {
		Imports: []string{"k8s.io/apimachinery", "sigs.k8s.io/structured-merge-diff"}, Tests: testLibraries, Pure: true,
	},
	"watcher/notifier": {Imports: []string{"internal/pause", "journal", "migration", "notify", prometheus}, Tests: otherTests},
	"watcher/servicestate": {
		Imports: []string{"migration", "ingressgen", "internal/excerpt", "internal/kube", "internal/status"}, Tests: pureTests, Pure: true,
	},

	// What several of them need.
	"internal/atomicfile":  {Tests: testLibraries},
	"internal/linux":       {Imports: []string{"golang.org/x/sys"}, Tests: testLibraries},
	"internal/privatedir":  {Imports: []string{"internal/linux"}, Tests: testLibraries},
	"internal/listen":      {Imports: []string{"internal/names"}, Tests: testLibraries},
	"internal/logging":     {Tests: testLibraries},
	"internal/gauge":       {Imports: []string{prometheus}},
	"internal/pause":       {Tests: testLibraries},
	"internal/connections": {Tests: otherTests},
	"internal/httpapi":     {Imports: []string{"internal/connections", "internal/gauge", "internal/history", "internal/status", prometheus}, Tests: otherTests},
	"internal/kube": {
		Imports: slices.Concat([]string{"internal/history", "internal/logging", "internal/names", "internal/proxyclient", "internal/status", clientGo, "k8s.io/klog"}, kubernetes),
		Tests:   otherTests,
	},
	// What the commands do.
	"internal/proxyclient": {Imports: []string{"internal/history", "internal/status"}, Tests: testLibraries},
	"internal/cli/installation": {
		Imports: slices.Concat([]string{"config", "internal/history", "internal/kube", "internal/names", "internal/status", "journal", "migration"}, kubernetes),
		Tests:   otherTests,
	},
	"internal/demo/recording": {Tests: otherTests},
	"internal/demo": {
		Imports: []string{"internal/demo/recording", "migration", "config", "internal/atomicfile", "internal/names", "internal/pause", "internal/proxyclient", "internal/status"},
		Tests:   testLibraries,
	},
	"internal/manager": {
		Imports: []string{
			"certs", "internal/httpapi", "internal/kube", "internal/listen", "internal/logging", "internal/names", "watcher", "webhook",
			controllerRuntime, prometheus, "github.com/go-logr/logr", "golang.org/x/sync",
		},
		Tests: otherTests,
	},
	"internal/cli/oneproxy":   {Imports: []string{"internal/proxyclient", "internal/status"}, Tests: testLibraries},
	"internal/cli/configfile": {Imports: []string{"config", "migration"}, Tests: testLibraries},
	"internal/cli/clusterstatus": {
		Imports: []string{"internal/cli/installation", "internal/kube", "internal/status", "journal", "migration"}, Tests: otherTests,
	},
	"internal/cli/statusview": {
		Imports: []string{
			"internal/cli/clusterstatus", "internal/cli/installation", "internal/cli/oneproxy", "internal/names", "internal/status", "gopkg.in/yaml.v3",
		},
		Tests: otherTests,
	},
	"internal/cli/check": {
		Imports: []string{"internal/cli/clusterstatus", "internal/cli/installation", "internal/cli/waiting", "internal/names", "k8s.io/apimachinery"}, Tests: otherTests,
	},
	"internal/cli/waiting": {Imports: []string{"internal/cli/installation"}, Tests: testLibraries},
	"internal/cli/update": {
		Imports: []string{
			"config", "internal/atomicfile", "internal/cli/clusterstatus", "internal/cli/configfile", "internal/cli/installation",
			"internal/cli/oneproxy", "internal/cli/waiting", "internal/kube", "internal/names", "internal/status", "migration", clientGo,
		},
		Tests: otherTests,
	},
	"internal/cli/ui": {
		Imports: slices.Concat([]string{
			"ingressgen", "internal/cli/clusterstatus", "internal/cli/installation", "internal/cli/ramps", "internal/cli/statusview", "internal/history", "internal/names",
			"internal/page", "internal/pageserver", "journal", "migration",
		}, kubernetes),
		Tests: otherTests,
	},
	"internal/cli/ramps": {
		Imports: slices.Concat([]string{
			"internal/cli/configfile", "internal/cli/installation", "internal/cli/waiting", "internal/names", "internal/rampview", "internal/status", "migration", "proxy/localramp", "ramp", clientGo,
		}, kubernetes),
		Tests: otherTests,
	},
	"internal/cli/drill": {
		Imports: []string{
			"internal/cli/configfile", "internal/cli/oneproxy", "internal/cli/ramps", "internal/kube", "internal/status", "migration", "proxy/drills",
		},
		Tests: otherTests,
	},
	"internal/cli/finish": {
		Imports: slices.Concat([]string{
			"compare", "finish", "ingressgen", "internal/cli/configfile", "internal/cli/installation", "internal/cli/oneproxy", "internal/excerpt", "internal/status", "journal", "migration",
			"proxy/accesslog", "proxy/localjournal", "github.com/miekg/dns", "sigs.k8s.io/yaml",
		}, kubernetes),
		Tests: otherTests,
	},
	"internal/cli/compare": {Imports: []string{"compare", "internal/cli/installation", "internal/cli/oneproxy", "internal/proxyclient", "migration", "proxy/dataplane", "proxy/sampling"}, Tests: otherTests},
	"internal/cli/validate": {
		Imports: []string{"config", "internal/cli/clusterstatus", "internal/cli/installation", "internal/cli/oneproxy", "ramp"}, Tests: otherTests,
	},
	"internal/cli/report":  {Imports: []string{"journal"}, Tests: otherTests},
	"internal/cli/explain": {Imports: []string{"migration"}, Tests: otherTests},
	"internal/cli/render":  {Imports: []string{"internal/listen", "migration", "nginxgen"}, Tests: otherTests},
	"internal/cli/restore": {
		Imports: slices.Concat([]string{"ingressgen", "internal/cli/installation", "internal/names", "internal/pause", "internal/status", clientGo}, kubernetes),
		Tests:   otherTests,
	},
	"internal/cli/scan": {
		Imports: slices.Concat([]string{"config", "ingressgen", "internal/cli/installation", "migration", "scan", clientGo, "sigs.k8s.io/yaml"}, kubernetes),
		Tests:   otherTests,
	},
	"cmd/migration-proxy": {
		Imports: []string{
			"config", "fallback", "ingressgen", "internal/cli/...", "internal/demo", "internal/kube", "internal/listen", "internal/logging",
			"internal/manager", "internal/names", "internal/status", "finish", "journal", "migration", "nginxgen", "proxy/breaker", "proxy/configsync", "proxy/dataplane", "proxy/localjournal", "proxy/localramp", "proxy/positions", "scan", "watcher",
			clientGo, "k8s.io/apimachinery", "github.com/spf13/cobra", "github.com/spf13/pflag",
		},
		Tests: otherTests,
	},

	// Only for tests, the demo and measurements.
	"internal/arrows": {Tests: testLibraries},
	"internal/controlplane": {
		Imports: slices.Concat([]string{"internal/testbed", clientGo, "sigs.k8s.io/yaml", "golang.org/x/sys"}, kubernetes),
		Tests:   otherTests,
	},
	"internal/golden":  {Imports: []string{"github.com/rogpeppe/go-internal"}, Tests: testLibraries},
	"internal/testbed": {Imports: []string{"internal/pause", "github.com/gorilla/websocket", "github.com/prometheus/procfs"}, Tests: testLibraries},
	"deploy":           {Tests: otherTests},

	// Modules of their own. The scenarios are a black box: they know no package
	// of the product, only clients and the test tools.
	"e2e":       {Tests: slices.Concat([]string{"e2e/wire", "e2e/world", clientGo, "github.com/cert-manager/cert-manager", "sigs.k8s.io/yaml"}, kubernetes, testLibraries)},
	"e2e/actor": {Imports: slices.Concat([]string{"e2e/grpcside", "e2e/wire", "internal/pause", "internal/testbed", clientGo, "golang.org/x/sync", "google.golang.org/grpc"}, kubernetes), Tests: slices.Concat(testLibraries, []string{"e2e/proxyprocess", "internal/golden", "sigs.k8s.io/yaml"})},
	"e2e/browser": {Tests: slices.Concat([]string{
		"config", "internal/golden", "internal/history", "internal/page", "internal/pageserver", "internal/rampview", "internal/status", "journal", "migration", "ramp",
		"e2e/proxyprocess", "internal/testbed", "github.com/chromedp",
	}, testLibraries)},
	"e2e/demo": {Imports: []string{"e2e/wire", "e2e/world"}, Tests: testLibraries},
	// What cannot be told to the built binary (name servers) is tried with the
	// agent itself.
	"e2e/faults":    {Tests: otherTests},
	"e2e/grpccalls": {Tests: otherTests},
	"e2e/grpcside":  {Imports: []string{"google.golang.org/grpc", "google.golang.org/protobuf"}},
	"e2e/localcluster": {
		Imports: []string{"e2e/podrunner", "internal/controlplane", "golang.org/x/sys"}, Tests: otherTests,
	},
	"e2e/podrunner": {
		Imports: slices.Concat([]string{"internal/pause", "internal/testbed", "github.com/miekg/dns", clientGo, "golang.org/x/sys"}, kubernetes), Tests: otherTests,
	},
	"e2e/proxyprocess": {Imports: []string{"internal/testbed", "github.com/stretchr/testify"}},
	"e2e/wire":         {},
	"e2e/world": {
		Imports: slices.Concat([]string{
			"e2e/localcluster", "e2e/wire", "internal/controlplane", clientGo, "sigs.k8s.io/yaml",
		}, kubernetes),
		Tests: testLibraries,
	},
	"bench": {
		Imports: slices.Concat([]string{
			"github.com/prometheus/procfs", "certs", "config", "fallback", "ingressgen", "internal/controlplane", "internal/names", "internal/status", "internal/testbed",
			"migration", "nginxgen", "proxy/breaker", "webhook", clientGo, "golang.org/x/sync", "golang.org/x/sys",
		}, kubernetes),
		Tests: testLibraries,
	},
	"bench/baseline/emptywebhook": {Imports: []string{controllerRuntime, "github.com/go-logr/logr", "k8s.io/api"}},
}

func TestArrows(t *testing.T) {
	t.Parallel()
	found, err := Check(os.DirFS("../.."), table, "hack")
	require.NoError(t, err)
	require.Empty(t, found, "see docs/architecture.md: change the code, or the table and the document")
}

// TestCheckFinds proves that the checker can fail: each file has one import,
// and the line that it must lead to.
func TestCheckFinds(t *testing.T) {
	t.Parallel()
	const own = Module + "/"
	arrows := map[string]Package{
		"pure":      {Pure: true, Tests: []string{"tools/golden", "pgregory.net/rapid"}},
		"config":    {Tests: []string{"..."}},
		"proxy":     {},
		"proxy/sub": {},
	}
	allowed := func(imports ...string) map[string]Package {
		changed := maps.Clone(arrows)
		changed["proxy"] = Package{Imports: imports}
		return changed
	}
	cases := []struct {
		file, imports, want string
		table               map[string]Package
	}{
		{file: "pure/a.go", imports: "net/netip"},
		{file: "pure/a.go", imports: own + "config", want: "no arrow from pure"},
		{file: "pure/deep/a.go", imports: "fmt", want: "the package pure/deep has no line in the table"},
		{file: "pure/a.go", imports: "gopkg.in/yaml.v3", want: "no arrow from pure"},
		{file: "pure/a.go", imports: "os", want: "the package pure is pure"},
		{file: "pure/a_test.go", imports: own + "pure"},
		{file: "pure/a_test.go", imports: "os"},
		{file: "pure/a_test.go", imports: own + "tools/golden"},
		{file: "pure/a_test.go", imports: own + "tools", want: "no arrow from pure"},
		{file: "pure/a_test.go", imports: "pgregory.net/rapid/sub"},
		{file: "config/a_test.go", imports: own + "proxy"},
		{file: "proxy/a.go", imports: own + "proxy/sub", want: "no arrow from proxy"},
		{file: "proxy/sub/a.go", imports: own + "proxy", want: "no arrow from proxy/sub"},
		{file: "proxy/a.go", imports: own + "proxy/sub", table: allowed("proxy/sub")},
		{file: "proxy/a.go", imports: own + "proxy/sub", table: allowed("proxy/...")},
		{file: "proxy/a.go", imports: "gopkg.in/yaml.v3/sub", table: allowed("gopkg.in/yaml.v3")},
		{file: "proxy/a.go", imports: "gopkg.in/yaml.v3", want: "no file imports config: delete the entry", table: allowed("config", "gopkg.in/yaml.v3")},
		{file: "proxy/a.go", imports: "gopkg.in/yaml.v30", want: "no arrow from proxy"},
		{file: "config/testdata/a.go", imports: own + "proxy"},
		{file: ".hidden/a.go", imports: own + "proxy"},
		{file: "other/a.go", imports: own + "proxy"},
	}
	for _, c := range cases {
		if c.table == nil {
			c.table = arrows
		}
		tree := fstest.MapFS{c.file: {Data: []byte("package a\n\nimport _ \"" + c.imports + "\"\n")}}
		found, err := Check(tree, c.table, "other")
		require.NoError(t, err)
		if c.want == "" {
			require.Empty(t, found, "%s imports %s", c.file, c.imports)
			continue
		}
		require.Len(t, found, 1, "%s imports %s", c.file, c.imports)
		require.Contains(t, found[0], c.want)
	}
}

func TestCheckRefusesWhatDoesNotParse(t *testing.T) {
	t.Parallel()
	_, err := Check(fstest.MapFS{"api/a.go": {Data: []byte("no package")}}, table)
	require.ErrorContains(t, err, "api/a.go")
}
