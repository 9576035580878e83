package webhook

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// forgedValues are put anywhere into an Ingress.
var forgedValues = []string{
	"", " ", "true", "false", "null", "{", "}", "[]", "\"", "\\", "\n", "\x00", "$", "../..", "/", "~", "~1", "~0", "/spec", "*", "*.", "*.example.com",
	"shop.example.com", "SHOP.example.com", "shop.example.com.", "web", "web.", "shop", "other", "api", "migration-proxy", "migration-proxy-web-1a2b3c4d",
	"nginx", "canary", "proxy", "Migrating", "Bypassed", "100", "-1", "1e9", "é", "日本", "\u202e", strings.Repeat("a", 300),
	`{"backends":[{"host":"shop.example.com","backend":{"name":"x","port":{"number":1}}}]}`, `{"annotations":{"a":"b"}}`,
	"migration-proxy.io/enabled", "migration-proxy.io/original", "nginx.ingress.kubernetes.io/backend-protocol",
}

var forgedKeys = []string{
	"migration-proxy.io/enabled", "migration-proxy.io/service", "migration-proxy.io/mode", "migration-proxy.io/original",
	"migration-proxy.io/phase", "migration-proxy.io/reason", "migration-proxy.io/share", "kubernetes.io/ingress.class",
	"nginx.ingress.kubernetes.io/backend-protocol", "nginx.ingress.kubernetes.io/rewrite-target", "nginx.ingress.kubernetes.io/canary",
	"nginx.ingress.kubernetes.io/configuration-snippet", "example.com/~slash/", "",
}

// editable are the only values of an Ingress that admission may edit.
var editable = regexp.MustCompile(`^(?:/metadata/annotations(?:/(?:migration-proxy\.io~1(?:original|share|phase|reason)|nginx\.ingress\.kubernetes\.io~1backend-protocol))?` +
	`|/spec/rules/\d+/http/paths/\d+/backend/service/(?:name|port/name|port/number))$`)

const forgedConfig = `services:
  - {name: shop, old_host: shop.example.com, old_backend: "http://web.shop.svc", new_host: new.example.com, new_backend: "https://new.example.com", namespaces: [partner]}
  - {name: any, old_host: "*.example.com", old_backend: "http://web.shop.svc:8080", new_host: new.example.com, new_backend: "https://new.example.com"}
`

// TestManyForgedIngresses sends forged Ingresses through admission. No answer is an error
// that stops a deploy, each edit is on a value that is ours, and nothing points at the proxy
// in a namespace that the config does not name. MIGRATION_PROXY_FORGED is how many are sent.
func TestManyForgedIngresses(t *testing.T) {
	t.Parallel()
	wanted := 5000
	if text := os.Getenv("MIGRATION_PROXY_FORGED"); text != "" {
		var err error
		wanted, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	rewriter := forgedRewriter(t)
	stored := switched(t, rewriter)
	began, edited, rewritten, refused := time.Now(), 0, 0, 0
	for range wanted {
		namespace := []string{"shop", "partner", "stranger"}[random.IntN(3)]
		text := forge(t, random, namespace)
		decided, err := rewriter.decide(t.Context(), forgedRequest(random, stored, text, namespace))
		if err != nil {
			refused++ // not JSON of an Ingress: it passes as it is
			require.True(t, rewriter.onError(err).Allowed)
			continue
		}
		require.True(t, decided.response.Allowed, "%s", text)
		backends := requireOwnValues(t, decided.response.Patch, text)
		if len(decided.response.Patch) > 0 {
			edited++
		}
		if backends > 0 {
			rewritten++
			require.NotEqual(t, "stranger", namespace, "%s: %s", text, decided.response.Patch)
		}
	}
	t.Logf("%d Ingresses, %d edited, %d pointed at the proxy, %d that are none; %.0f a second",
		wanted, edited, rewritten, refused, float64(wanted)/time.Since(began).Seconds())
	require.Positive(t, rewritten)
}

func forgedRewriter(t *testing.T) *ingressRewriter {
	table, err := config.Load("c.yaml", []byte(forgedConfig))
	require.NoError(t, err)
	state := status.Cluster{Services: map[string]status.ClusterService{}}
	for _, s := range table.Services() {
		state.Services[string(s.Name)] = status.ClusterService{Host: string(s.OldHost), PathPrefix: string(s.PathPrefix), Phase: status.Migrating}
	}
	cache := &ConfigCache{}
	cache.current.Store(&snapshot{table: table, state: state, configRead: true, stateRead: true})
	return &ingressRewriter{cache: cache, ports: &portCache{}, log: slog.New(slog.DiscardHandler), audit: audit{nil, slog.New(slog.DiscardHandler)}}
}

func forgedRequest(random *rand.Rand, stored, text []byte, namespace string) admission.Request {
	request := admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		Namespace: namespace, Name: "forged", Operation: admissionv1.Create, Object: runtime.RawExtension{Raw: text},
	}}
	switch random.IntN(4) {
	case 0, 1: // an update of what points at the proxy
		request.Operation, request.OldObject = admissionv1.Update, runtime.RawExtension{Raw: bytes.ReplaceAll(stored, []byte("NAMESPACE"), []byte(namespace))}
	case 2: // what is stored is forged too
		request.Operation, request.OldObject = admissionv1.Update, runtime.RawExtension{Raw: text}
	}
	return request
}

// switched is an Ingress that points at the proxy.
func switched(t *testing.T, rewriter *ingressRewriter) []byte {
	const text = `{"metadata":{"name":"forged","namespace":"NAMESPACE","annotations":{"migration-proxy.io/enabled":"true"}},"spec":{"rules":[
		{"host":"shop.example.com","http":{"paths":[{"path":"/","pathType":"Prefix","backend":{"service":{"name":"web","port":{"number":80}}}}]}}]}}`
	ingress, err := decodeIngress([]byte(text), "shop")
	require.NoError(t, err)
	ingress.Namespace = "shop"
	current := rewriter.cache.current.Load()
	edits, err := json.Marshal(ingressgen.Rewrite(ingress, ingressgen.View{Table: current.table, State: current.state}).Edits)
	require.NoError(t, err)
	patch, err := jsonpatch.DecodePatch(edits)
	require.NoError(t, err)
	patched, err := patch.Apply([]byte(text))
	require.NoError(t, err)
	require.Contains(t, string(patched), proxyOf(80))
	return patched
}

// forge makes an Ingress that opts in, with up to three forged values.
func forge(t *testing.T, random *rand.Rand, namespace string) []byte {
	annotations := map[string]any{ingressgen.AnnotationEnabled: "true"}
	for range random.IntN(4) {
		annotations[pick(random, forgedKeys)] = pick(random, forgedValues)
	}
	var rules []any
	for range 1 + random.IntN(3) {
		rules = append(rules, forgeRule(random))
	}
	metadata := map[string]any{"name": "forged", "namespace": namespace, "annotations": annotations}
	if random.IntN(10) == 0 {
		metadata[pick(random, []string{"labels", "finalizers", "ownerReferences", "namespace", "deletionTimestamp"})] = pick(random, forgedValues)
	}
	text, err := json.Marshal(map[string]any{"metadata": metadata, "spec": map[string]any{"rules": rules}})
	require.NoError(t, err)
	if random.IntN(50) == 0 { // broken JSON
		at := random.IntN(len(text))
		text = append(text[:at:at], []byte(pick(random, forgedValues))...)
	}
	return text
}

func forgeRule(random *rand.Rand) map[string]any {
	one := func(usual string) string {
		if random.IntN(6) == 0 {
			return pick(random, forgedValues)
		}
		return usual
	}
	var paths []any
	for range 1 + random.IntN(3) {
		port := map[string]any{"number": 80}
		if random.IntN(6) == 0 {
			port = map[string]any{"number": pick(random, []int{0, -1, 8080, 65536, 1 << 31})}
		}
		paths = append(paths, map[string]any{
			"path": one("/"), "pathType": one("Prefix"),
			"backend": map[string]any{"service": map[string]any{"name": one("web"), "port": port}},
		})
	}
	rule := map[string]any{"host": one("shop.example.com"), "http": map[string]any{"paths": paths}}
	if random.IntN(10) == 0 {
		delete(rule, pick(random, []string{"host", "http"}))
	}
	return rule
}

func pick[T any](random *rand.Rand, from []T) T { return from[random.IntN(len(from))] }

// requireOwnValues fails if the patch edits what is not ours, and counts the backends that
// it points at the proxy.
func requireOwnValues(t *testing.T, patch, text []byte) (backends int) {
	if len(patch) == 0 {
		return 0
	}
	var edits []ingressgen.Edit
	require.NoError(t, json.Unmarshal(patch, &edits))
	for _, edit := range edits {
		if edit.Op == "test" {
			continue
		}
		require.Regexp(t, editable, edit.Path, "%s", text)
		if name, ok := edit.Value.(string); ok && strings.HasSuffix(edit.Path, "/backend/service/name") && strings.HasPrefix(name, "migration-proxy-") {
			backends++
		}
	}
	return backends
}
