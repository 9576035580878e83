package scan

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
	"github.com/migration-proxy/migration-proxy/internal/golden"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/scan"
)

// TestOutputs: the manifests of testdata in each format.
func TestOutputs(t *testing.T) {
	t.Parallel()
	for _, format := range []Format{Table, JSON, Markdown, Config} {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			var text bytes.Buffer
			require.NoError(t, Show(t.Context(), &text, FromFiles([]string{"testdata/manifests"}, nil), Options{Format: format}))
			golden.Check(t, filepath.Join("testdata", "want."+string(format)), text.Bytes())
		})
	}
}

// TestFailOn: an Ingress as bad as the user does not want is an error, and a better one
// is none.
func TestFailOn(t *testing.T) {
	t.Parallel()
	ready := "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: shop}\nspec: {rules: [{host: a.example, http: {paths: " +
		"[{path: /, pathType: Prefix, backend: {service: {name: shop, port: {number: 80}}}}]}}]}\n"
	warned := strings.Replace(ready, "{name: shop}", `{name: shop, annotations: {nginx.ingress.kubernetes.io/affinity: cookie}}`, 1)
	refused := strings.Replace(ready, "host: a.example, ", "", 1)
	for _, c := range []struct {
		manifest string
		verdict  scan.Verdict
		fails    bool
	}{
		{ready, "", false}, {refused, "", false}, {ready, scan.Warned, false}, {warned, scan.Warned, true}, {warned, scan.Held, false},
		{warned, scan.Refused, false}, {refused, scan.Refused, true}, {refused, scan.Held, true}, {refused, scan.Warned, true},
	} {
		err := Show(t.Context(), &bytes.Buffer{}, FromFiles([]string{"-"}, strings.NewReader(c.manifest)), Options{FailOn: c.verdict})
		if !c.fails {
			require.NoError(t, err, c)
			continue
		}
		require.EqualError(t, err, fmt.Sprintf("1 of 1 Ingresses are %[1]s or worse, and --fail-on %[1]s makes this an error", c.verdict))
	}
}

// TestWithConfig: a host of the migration config is examined with its services, and
// nothing is suggested for it.
func TestWithConfig(t *testing.T) {
	t.Parallel()
	table, err := config.Load("test", []byte(`services: [{name: tunnel, old_host: shop.example.com, path_prefix: /cart, old_backend: "cart.shop.svc:80", new_host: n.example, new_backend: "n.example:443"}]`))
	require.NoError(t, err)
	var text bytes.Buffer
	require.NoError(t, Show(t.Context(), &text, FromFiles([]string{"testdata/manifests"}, nil), Options{Format: Config, Table: table}))
	require.NotContains(t, text.String(), "old_host: \"shop.example.com\"")
	require.Contains(t, text.String(), "old_host: \"tunnel.example.com\"")
	text.Reset()
	require.NoError(t, Show(t.Context(), &text, FromFiles([]string{"testdata/manifests"}, nil), Options{Table: table}))
	require.Contains(t, text.String(), "service tunnel has this host, but its path_prefix /cart does not cover the path")
}

func TestUnreadableManifests(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a: b\n---\n{{ template }}\n":                                         `<stdin>, document 2: this is no manifest: `,
		"apiVersion: networking.k8s.io/v1\nkind: Ingress\nspec: {rules: 3}\n": `<stdin>, document 1: this is no such object: `,
	} {
		err := Show(t.Context(), &bytes.Buffer{}, FromFiles([]string{"-"}, strings.NewReader(text)), Options{})
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "templates must be rendered first")
	}
	err := Show(t.Context(), &bytes.Buffer{}, FromFiles([]string{"testdata/missing.yaml"}, nil), Options{})
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestRights: a user who may list Ingresses of his namespace, and nothing else, gets a
// result with notes of what is missing. Without that right the error says how to get it.
func TestRights(t *testing.T) {
	namespace, err := plane.Namespace(t.Context(), "rights")
	require.NoError(t, err)
	admin, err := kubernetes.NewForConfig(plane.Config())
	require.NoError(t, err)
	user, err := plane.User("alice")
	require.NoError(t, err)
	client, err := kubernetes.NewForConfig(user)
	require.NoError(t, err)
	in := installation.New(&kube.Cluster{Interface: client, Config: user, Namespace: "migration-proxy"})

	err = Show(t.Context(), &bytes.Buffer{}, FromCluster(in, []string{namespace}), Options{})
	require.ErrorContains(t, err, "alice may not list ingresses.networking.k8s.io in namespace "+namespace)
	_, err = admin.RbacV1().Roles(namespace).Create(t.Context(), &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "list"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"networking.k8s.io"}, Resources: []string{"ingresses"}, Verbs: []string{"list"}},
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = admin.RbacV1().RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "list"},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "list"}, Subjects: []rbacv1.Subject{{Kind: "User", Name: "alice"}}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = admin.NetworkingV1().Ingresses(namespace).Create(t.Context(), (&corpus{apps: namespace}).add("mine", nil, root("app:http")), metav1.CreateOptions{})
	require.NoError(t, err)
	var text bytes.Buffer
	require.Eventually(t, func() bool { // the API server reads RBAC after a moment
		text.Reset()
		return Show(t.Context(), &text, FromCluster(in, []string{namespace}), Options{}) == nil
	}, maxWait, 20*time.Millisecond)
	for _, want := range []string{
		"refused  Service app has no port http that is known",
		"note: IngressClasses were not read, so the controllers of Ingresses are not known: alice may not list ingressclasses",
		"note: Services were not read, so the numbers of named ports are not known: alice may not list services in namespace " + namespace,
		"note: the migration config was not read, so all services are taken as new: alice may not get configmaps",
		"note: only these namespaces were read",
	} {
		require.Contains(t, text.String(), want)
	}
}

// TestManyIngresses: a cluster is read in pages, in little memory. The number is 1,200,
// or what MIGRATION_PROXY_INGRESSES says.
func TestManyIngresses(t *testing.T) {
	count := 1200
	if text := os.Getenv("MIGRATION_PROXY_INGRESSES"); text != "" {
		var err error
		count, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	namespace, err := plane.Namespace(t.Context(), "many")
	require.NoError(t, err)
	user := plane.Config()
	user.QPS = -1
	client, err := kubernetes.NewForConfig(user)
	require.NoError(t, err)
	createMany(t, client, namespace, count)

	var mu sync.Mutex
	var pages []string
	counted := plane.Config()
	counted.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			if strings.HasSuffix(r.URL.Path, "/ingresses") {
				pages = append(pages, r.URL.Query().Get("limit"))
			}
			return next.RoundTrip(r)
		})
	})
	cluster, err := kubernetes.NewForConfig(counted)
	require.NoError(t, err)
	in := installation.New(&kube.Cluster{Interface: cluster, Config: counted, Namespace: namespace})
	began, empty := time.Now(), memory()
	var text bytes.Buffer
	require.NoError(t, Show(t.Context(), &text, FromCluster(in, []string{namespace}), Options{}))
	took, grown := time.Since(began), memory()-empty
	t.Logf("%d Ingresses in %s, and at most %.1f MB more memory", count, took, float64(grown)/1e6)
	require.Less(t, grown, uint64(50e6+count*30e3))
	require.Contains(t, text.String(), fmt.Sprintf("%d Ingresses: %d ready", count, count))
	require.Len(t, pages, (count+pageSize-1)/pageSize)
	for _, limit := range pages {
		require.Equal(t, strconv.Itoa(pageSize), limit)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func createMany(t *testing.T, client kubernetes.Interface, namespace string, count int) {
	var creating sync.WaitGroup
	errs := make(chan error, 8)
	made := &corpus{apps: namespace}
	for range count {
		made.add("many", map[string]string{"team.example.com/notes": strings.Repeat("x", 2000)}, root("app:80"))
	}
	for worker := range cap(errs) {
		creating.Go(func() {
			for i := worker; i < count; i += cap(errs) {
				ingress := made.ingresses[i]
				ingress.Name = fmt.Sprintf("i%d", i)
				if _, err := client.NetworkingV1().Ingresses(namespace).Create(t.Context(), ingress, metav1.CreateOptions{}); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	creating.Wait()
	close(errs)
	require.NoError(t, <-errs)
}

// memory is what this process has taken from the system: it never shrinks.
func memory() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.Sys
}

// TestExamineManyShapes bounds the time of the decisions for ten times the corpus.
func TestExamineManyShapes(t *testing.T) {
	t.Parallel()
	var all []*networkingv1.Ingress
	for len(all) < 5000 {
		for _, ingress := range newCorpus(fmt.Sprintf("apps-%d", len(all)), "other") {
			for i := range ingress.Spec.Rules {
				if host := &ingress.Spec.Rules[i].Host; *host != "" {
					*host = strings.Replace(*host, "example", fmt.Sprintf("example%d", len(all)/400), 1)
				}
			}
			all = append(all, ingress)
		}
	}
	read := scanned{objects: scan.Objects{Ingresses: all, Classes: corpusClasses()}}
	began := time.Now()
	require.NoError(t, read.addToTable(scan.Suggest(read.objects, nil)))
	suggested := time.Since(began)
	result := read.examine()
	t.Logf("%d Ingresses: services in %s, verdicts in %s", len(all), suggested, time.Since(began)-suggested)
	require.Len(t, result.Ingresses, len(all))
	require.Less(t, time.Since(began), time.Minute)
}
