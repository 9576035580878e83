package ingressgen_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// object is a JSON object: what the API server stores, with fields that our types
// do not know.
type object = map[string]any

const namespace = "shop"

var (
	hosts     = []string{"a.example.com", "b.example.com", "*.example.com", "a.example.com", "a.example.com", ""}
	paths     = []string{"", "/", "/api", "/api/", "/api/v1", "/web", "/.well-known/acme-challenge/x"}
	pathTypes = []string{"Prefix", "Exact", "ImplementationSpecific"}
	// The annotations to draw from, with values that do something.
	annotations = map[string][]string{
		"nginx.ingress.kubernetes.io/backend-protocol": {"HTTP", "HTTPS", "https", "GRPC", "AUTO_HTTP", ""},
		"nginx.ingress.kubernetes.io/rewrite-target":   {"/$1"},
		"nginx.ingress.kubernetes.io/affinity":         {"cookie"},
		"nginx.ingress.kubernetes.io/canary":           {"true", "false"},
		"nginx.ingress.kubernetes.io/proxy-body-size":  {"8m", "0"},
		"nginx.ingress.kubernetes.io/new-in-2030":      {"x"},
		"kubernetes.io/ingress.class":                  {"nginx"},
		"migration-proxy.io/mode":                      {"proxy", "canary", "?"},
		"migration-proxy.io/service":                   {"s0", "s1", "none"},
		"example.com/slash~tilde":                      {"~/"},
	}
)

// httpPort knows the port "http" of every Service.
type httpPort struct{}

// PortNumber implements ingressgen.PortLookup.
func (httpPort) PortNumber(_, name string) (int32, bool) { return 8080, name == "http" }

// ExternalPort implements ingressgen.PortLookup.
func (httpPort) ExternalPort(string, int32) int32 { return 0 }

func (httpPort) Service(string) *corev1.Service { return nil }

func drawView(t *rapid.T) ingressgen.View {
	seen := map[string]bool{}
	var services []migration.Service
	for i := range rapid.IntRange(1, 6).Draw(t, "services") {
		s := drawService(t, i)
		if i < 2 { // so that most Ingresses have something to rewrite
			s.OldHost, s.PathPrefix, s.Mode = migration.Host(hosts[i]), "/", migration.ModeProxy
			s.OldBackend = migration.Backend{Scheme: migration.HTTP, Host: "api.shop.svc", Port: 8080}
		}
		if route := string(s.OldHost) + string(s.PathPrefix); !seen[route] {
			seen[route] = true
			services = append(services, s)
		}
	}
	table, err := migration.NewTable(migration.Global{}, services)
	require.NoError(t, err)
	view := serving(table)
	view.Ports = httpPort{}
	if rapid.IntRange(0, 9).Draw(t, "admission") == 0 {
		view.Admission = &ingressgen.Admission{}
	}
	for i, s := range services {
		if i > 0 {
			drawPhase(t, view.State.Services, string(s.Name))
		}
	}
	if rapid.IntRange(0, 9).Draw(t, "no config") == 0 {
		view.Table = nil
	}
	if rapid.IntRange(0, 9).Draw(t, "paused") == 0 {
		view.State.Paused = "restore --all"
	}
	return view
}

func drawPhase(t *rapid.T, services map[string]status.ClusterService, name string) {
	state := services[name]
	state.Phase = rapid.SampledFrom([]status.Phase{
		status.Migrating, status.Migrating, status.Migrating, status.FallenBack, status.Bypassed, "",
	}).Draw(t, "phase")
	state.Reason = rapid.SampledFrom([]string{"", "evidence"}).Draw(t, "reason")
	services[name] = state
	if state.Phase == "" {
		delete(services, name)
	}
}

func drawService(t *rapid.T, i int) migration.Service {
	old := rapid.SampledFrom([]string{
		"api.shop.svc.cluster.local:8080", "https://api.shop.svc:8080", "web.shop.svc:80", "api.other.svc:8080", "10.0.0.1:80",
	}).Draw(t, "old")
	backend, err := migration.ParseBackend(old)
	require.NoError(t, err)
	s := migration.Service{
		Name:       migration.Name(fmt.Sprintf("s%d", i)),
		OldHost:    migration.Host(rapid.SampledFrom(hosts[:3]).Draw(t, "oldHost")),
		PathPrefix: rapid.SampledFrom([]migration.PathPrefix{"/", "/api", "/web"}).Draw(t, "prefix"),
		OldBackend: backend, NewHost: "new.example.com", NewBackend: backend, Timeout: time.Second,
		Mode:     rapid.SampledFrom([]migration.Mode{migration.ModeProxy, migration.ModeProxy, migration.ModeCanary}).Draw(t, "mode"),
		Enabled:  rapid.Bool().Draw(t, "enabled"),
		Strategy: rapid.SampledFrom([]migration.Strategy{migration.StrategyWeight, migration.StrategyUserHash}).Draw(t, "strategy"),
		Share:    migration.Share(rapid.SampledFrom([]int{0, 25, 2000, 10000}).Draw(t, "share")),
	}
	if rapid.Bool().Draw(t, "rule") {
		s.HeaderRules = []migration.HeaderRule{{Header: "X-To", Value: rapid.SampledFrom([]string{"new", "a,b"}).Draw(t, "value"), Target: migration.New}}
	}
	return s
}

// drawIngress gives an opted-in Ingress as JSON. No two of its paths have the
// same host, path and type.
func drawIngress(t *rapid.T) object {
	values := object{"migration-proxy.io/enabled": "true"}
	for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom(keys(annotations)), rapid.ID).Draw(t, "annotations") {
		if rapid.IntRange(0, 9).Draw(t, "some") == 0 {
			values[name] = rapid.SampledFrom(annotations[name]).Draw(t, name)
		}
	}
	seen := map[string]bool{}
	var rules []any
	for range rapid.IntRange(1, 5).Draw(t, "rules") {
		rules = append(rules, drawRule(t, seen))
	}
	spec := object{"futureSpec": object{"x": 1}, "rules": rules}
	if rapid.IntRange(0, 5).Draw(t, "default") == 0 {
		spec["defaultBackend"] = object{"service": object{"name": "fallback", "port": object{"number": 80}}}
	}
	return object{
		"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "future": []any{"x"},
		"metadata": object{"name": "ing", "namespace": namespace, "uid": "u-1", "annotations": values, "futureMeta": true},
		"spec":     spec,
	}
}

func drawRule(t *rapid.T, seen map[string]bool) object {
	rule := object{"futureRule": "x"}
	host := rapid.SampledFrom(hosts).Draw(t, "host")
	if host != "" {
		rule["host"] = host
	}
	var list []any
	for range rapid.IntRange(1, 5).Draw(t, "paths") {
		path := rapid.SampledFrom(paths).Draw(t, "path")
		pathType := rapid.SampledFrom(pathTypes).Draw(t, "type")
		if id := host + " " + path + " " + pathType; !seen[id] {
			seen[id] = true
			entry := object{"pathType": pathType, "futurePath": 1, "backend": drawBackend(t)}
			if path != "" {
				entry["path"] = path
			}
			list = append(list, entry)
		}
	}
	if len(list) > 0 {
		rule["http"] = object{"paths": list, "futureHTTP": nil}
	}
	return rule
}

func drawBackend(t *rapid.T) object {
	port := func(value any) object {
		if number, ok := value.(int); ok {
			return object{"number": number, "futurePort": 1}
		}
		return object{"name": value, "futurePort": 1}
	}
	service := func(name string, at any) object {
		return object{"futureBackend": 1, "service": object{"name": name, "port": port(at), "futureService": 1}}
	}
	return rapid.SampledFrom([]object{
		service("api", 8080), service("api", 8080), service("api", "http"), service("api", "grpc"), service("api", 9), service("web", 80), service("web", 80),
		service("cm-acme-http-solver-abc", 8089),
		{"resource": object{"kind": "Bucket", "name": "b"}},
	}).Draw(t, "backend")
}

func keys[V any](m map[string]V) []string {
	var all []string
	for name := range m {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

func encode(t require.TestingT, o object) []byte {
	text, err := json.Marshal(o)
	require.NoError(t, err)
	return text
}

func decode(t require.TestingT, text []byte) object {
	var o object
	require.NoError(t, json.Unmarshal(text, &o))
	return o
}

// TestLaws: Release(Rewrite(x)) is x, Rewrite(Rewrite(x)) is Rewrite(x), the
// preconditions hold for the Ingress itself, and only own values are edited.
func TestLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		before, view := encode(t, drawIngress(t)), drawView(t)
		requireLaws(t, before, view)
		requireOwnEdits(t, before, view)

		// Another config and another state.
		after := apply(t, before, ingressgen.Rewrite(parse(t, before), view).Edits)
		requireLaws(t, after, drawView(t))
	})
}

// TestPointedAtTheProxyByHand: paths may name proxy Services, and annotation original may
// name any backend, because a user wrote them. One call of Rewrite does all that there is
// to do.
func TestPointedAtTheProxyByHand(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ingress, view := drawIngress(t), drawView(t)
		for _, path := range allPaths(ingress) {
			if rapid.Bool().Draw(t, "by hand") {
				path["backend"] = drawProxyBackend(t)
			}
		}
		before := encode(t, ingress)
		after := apply(t, before, ingressgen.Rewrite(parse(t, before), view).Edits)
		requireLaws(t, before, view)
		requireLaws(t, after, drawView(t))
		released := apply(t, after, ingressgen.Release(parse(t, after), view).Edits)
		require.Empty(t, ingressgen.Release(parse(t, released), view).Edits, "%s\n%s\n%s", before, after, released)
	})
}

// drawProxyBackend gives a backend with the name of a proxy Service: of a Service that the
// table may have, of another port of it, of one that nobody knows, of one whose name is
// cut, and of the one that older versions had.
func drawProxyBackend(t *rapid.T) object {
	name := rapid.SampledFrom([]string{
		"migration-proxy-api-b97c3dad", "migration-proxy-api-828a926f", "migration-proxy-web-00000000",
		"migration-proxy-" + strings.Repeat("a", 38) + "-1a2b3c4d", "migration-proxy",
	}).Draw(t, "name")
	port := rapid.SampledFrom([]object{{"number": 8080}, {"number": 80}, {"name": "http"}}).Draw(t, "port")
	return object{"service": object{"name": name, "port": port}}
}

var editable = regexp.MustCompile(`^/(?:metadata/annotations/(?:migration-proxy\.io~1(?:original|share|phase|reason)|nginx\.ingress\.kubernetes\.io~1backend-protocol)` +
	`|spec/rules/(\d+)/http/paths/(\d+)/backend/service/(?:name|port/name|port/number))$`)

// requireOwnEdits: every edit is on one of the few values that the proxy may
// edit, and edits of a path need a migrating service for it.
func requireOwnEdits(t require.TestingT, before []byte, view ingressgen.View) {
	ingress := parse(t, before)
	for _, edit := range ingressgen.Rewrite(ingress, view).Edits {
		match := editable.FindStringSubmatch(edit.Path)
		require.NotNil(t, match, "%s must not be edited", edit.Path)
		if match[1] == "" {
			continue
		}
		var i, j int
		_, err := fmt.Sscan(match[1], &i)
		require.NoError(t, err)
		_, err = fmt.Sscan(match[2], &j)
		require.NoError(t, err)
		rule := ingress.Spec.Rules[i]
		path := rule.HTTP.Paths[j]
		service := view.Table.Covering(rule.Host, path.Path+"/")
		if ingress.Annotations["nginx.ingress.kubernetes.io/rewrite-target"] == "/$1" {
			service = view.Table.Covering(rule.Host, "/") // what arrives may be anything
		}
		require.NotNil(t, service)
		require.Equal(t, rule.Host, string(service.OldHost))
		require.Equal(t, status.Migrating, view.State.Services[string(service.Name)].Phase)
		require.NotContains(t, path.Path, "acme-challenge")
	}
}

// TestRestoreAfterUserEdits: after the user edits a rewritten Ingress, Release
// gives the Ingress as the user wrote it, with these edits.
func TestRestoreAfterUserEdits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		before, view := encode(t, drawIngress(t)), drawView(t)
		rewritten := apply(t, before, ingressgen.Rewrite(parse(t, before), view).Edits)
		edits := rapid.SliceOfNDistinct(rapid.SampledFrom(keys(userEdits)), 1, 3, rapid.ID).Draw(t, "edits")
		changed, want := decode(t, rewritten), decode(t, before)
		seed := rapid.IntRange(0, 11).Draw(t, "place")
		for _, name := range edits {
			if name == "rename a path" && len(edits) > 1 {
				continue // one renamed path can be matched with its original, several cannot
			}
			userEdits[name](want, want, seed)
			userEdits[name](changed, want, seed)
		}
		wantText, text := encode(t, want), encode(t, changed)
		require.JSONEq(t, string(wantText), string(apply(t, text, ingressgen.Release(parse(t, text), ingressgen.View{}).Edits)), "%v", edits)

		again := apply(t, text, ingressgen.Rewrite(parse(t, text), view).Edits)
		require.JSONEq(t, string(wantText), string(apply(t, again, ingressgen.Release(parse(t, again), ingressgen.View{}).Edits)), "%v, then rewritten", edits)
		requireLaws(t, text, view)
	})
}

// TestDamagedAnnotations: with the proxy's annotations deleted or overwritten
// nothing panics, the laws hold, and a second Release has no edits.
func TestDamagedAnnotations(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		before, view := encode(t, drawIngress(t)), drawView(t)
		damaged := decode(t, apply(t, before, ingressgen.Rewrite(parse(t, before), view).Edits))
		for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"original", "share", "phase", "reason", "enabled"}), rapid.ID).Draw(t, "damaged") {
			full := ingressgen.Prefix + name
			delete(annotationsOf(damaged), full)
			if text := rapid.SampledFrom([]string{"", "{", "[]", "null", `{"backends":[{"host":"a.example.com","backend":{"name":"x","port":{"number":1}}}]}`, `{"annotations":{"a":"b"}}`}).Draw(t, "text"); text != "" {
				annotationsOf(damaged)[full] = text
			}
		}
		text := encode(t, damaged)
		requireLaws(t, text, view)
		released := apply(t, text, ingressgen.Release(parse(t, text), view).Edits)
		require.Empty(t, ingressgen.Release(parse(t, released), view).Edits)
	})
}

// TestPreconditionsFailOnChange: the patch fails as soon as a value that it
// relies on has changed.
func TestPreconditionsFailOnChange(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		before, view := encode(t, drawIngress(t)), drawView(t)
		edits := ingressgen.Rewrite(parse(t, before), view).Edits
		inPaths := false
		for _, edit := range edits {
			inPaths = inPaths || editable.FindStringSubmatch(edit.Path)[1] != ""
		}
		if !inPaths {
			return // nothing is rewritten
		}
		patch := ingressgen.WithPreconditions(parse(t, before), edits)
		changed := decode(t, before)
		name := rapid.SampledFrom([]string{
			"add a rule before", "opt out", "rename all paths", "rename all hosts", "replace all backends", "add annotation original",
		}).Draw(t, "change")
		changeRewritten(changed, name)
		_, err := tryApply(t, encode(t, changed), patch)
		require.Error(t, err, name)
	})
}

// TestSilentChecks: while a silent check refuses the Ingress, Rewrite is Release:
// no annotation and no backend of the proxy stays, whatever the Ingress has.
func TestSilentChecks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		before, view := encode(t, drawIngress(t)), drawView(t)
		rewritten := apply(t, before, ingressgen.Rewrite(parse(t, before), view).Edits)
		now := drawView(t)
		switch rapid.IntRange(0, 2).Draw(t, "check") {
		case 0:
			now.State.Paused = "restore --all"
		case 1:
			now.Table = nil
		default:
			solver := decode(t, rewritten)
			solver["metadata"].(object)["labels"] = object{"acme.cert-manager.io/http01-solver": "true"}
			rewritten = encode(t, solver)
		}
		report := ingressgen.Rewrite(parse(t, rewritten), now)
		require.Equal(t, ingressgen.Release(parse(t, rewritten), now).Edits, report.Edits)
		require.Nil(t, report.Companion)
		require.Equal(t, status.Bypassed, report.Phase)
		after := apply(t, rewritten, report.Edits)
		require.False(t, ingressgen.Touched(parse(t, after)), "%s", after)
	})
}
