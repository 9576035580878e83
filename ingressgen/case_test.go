package ingressgen_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/golden"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// caseState is state.yaml of a case: the differences from a cluster in which every
// service of the config is served and migrating.
type caseState struct {
	Services  map[string]status.ClusterService `json:"services"`
	Missing   []string                         `json:"missing"` // services that no replica serves
	Paused    string                           `json:"paused"`
	Blocked   string                           `json:"blocked"`
	Admission bool                             `json:"admission"` // the stored Ingress is stored.yaml, if there is one
	Ports     namedPorts                       `json:"ports"`     // "service/name" to number
	// Controllers know canary annotations as ingress-nginx does.
	Controllers []string `json:"canary_controllers"`
}

// caseReport is want-report.yaml: the report without what the other files show.
type caseReport struct {
	Phase    status.Phase     `json:"phase"`
	Reason   string           `json:"reason,omitempty"`
	Services []migration.Name `json:"services,omitempty"`
	Proxies  []string         `json:"proxies,omitempty"` // "Service for backend"
	Warnings []string         `json:"warnings,omitempty"`
}

// TestCases: a case is a folder below testdata. From ingress.yaml, config.yaml and
// the optional state.yaml and cluster.yaml (other Ingresses, and IngressClasses),
// Rewrite makes want-ingress.diff (not if it changes nothing), want-report.yaml and an
// optional want-companion.yaml. A case without an ingress.yaml or config.yaml of its own
// has that of the case that its file like names, or else of testdata/plain.
func TestCases(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir("testdata")
	require.NoError(t, err)
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		t.Run(entry.Name(), func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join("testdata", entry.Name())
			before := readJSON(t, caseFile(dir, "ingress.yaml"))
			view := loadView(t, dir)
			around := loadAround(t, filepath.Join(dir, "cluster.yaml"))
			around.ingress = parse(t, before)
			view.Neighbors, view.Controller = around, ingressgen.ControllerOf(around.ingress, around.classes)
			report := ingressgen.Rewrite(parse(t, before), view)
			after := apply(t, before, report.Edits)

			checkOptional(t, filepath.Join(dir, "want-ingress.diff"), changes(t, before, after))
			golden.Check(t, filepath.Join(dir, "want-report.yaml"), marshal(t, caseReport{
				report.Phase, report.Reason, report.Services, formatProxies(report.Proxies), report.Warnings,
			}))
			var companion []byte
			if report.Companion != nil {
				companion = marshal(t, report.Companion)
			}
			checkOptional(t, filepath.Join(dir, "want-companion.yaml"), companion)
			requireLaws(t, before, view)
		})
	}
}

// caseFile is the file of that name of a case, of the case that it is like, or of the case
// plain.
func caseFile(dir, name string) string {
	if own := filepath.Join(dir, name); exists(own) {
		return own
	}
	like := "plain"
	if text, err := os.ReadFile(filepath.Join(dir, "like")); err == nil {
		like = strings.TrimSpace(string(text))
	}
	return filepath.Join("testdata", like, name)
}

func formatProxies(uses []ingressgen.ProxyUse) []string {
	var texts []string
	for _, use := range uses {
		text := fmt.Sprintf("%s for %s:%s", use.Service, use.Old.Name, cmp.Or(use.Old.Port.Name, strconv.Itoa(int(use.Old.Port.Number))))
		if use.Switch {
			text += ", to be switched"
		}
		texts = append(texts, text)
	}
	return texts
}

func withoutSwitch(uses []ingressgen.ProxyUse) []ingressgen.ProxyUse {
	switched := slices.Clone(uses)
	for i := range switched {
		switched[i].Switch = false
	}
	return switched
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// checkOptional is golden.Check for a file that is not there when got is empty.
func checkOptional(t *testing.T, file string, got []byte) {
	t.Helper()
	if len(got) > 0 {
		golden.Check(t, file, got)
		return
	}
	if golden.Updating() {
		_ = os.Remove(file)
	}
	require.NoFileExists(t, file, "nothing is made for it any more")
}

// requireLaws checks what must hold for every Ingress, rewritten or not.
func requireLaws(t require.TestingT, before []byte, view ingressgen.View) {
	ingress := parse(t, before)
	text := marshal(t, ingress)
	first := ingressgen.Rewrite(ingress, view)
	require.Equal(t, string(text), string(marshal(t, ingress)), "Rewrite changed its argument")
	after := apply(t, before, first.Edits)

	second := ingressgen.Rewrite(parse(t, after), view)
	require.Empty(t, second.Edits, "Rewrite(Rewrite(x)) must be Rewrite(x)")
	require.Equal(t, first.Companion, second.Companion)
	require.True(t, first.Companion == nil || ingressgen.IsCompanion(first.Companion))
	require.Equal(t, first.Phase, second.Phase)
	require.Equal(t, first.Reason, second.Reason)
	require.Equal(t, withoutSwitch(first.Proxies), second.Proxies, "after the edits there is nothing to switch")

	if !ingressgen.Touched(ingress) {
		require.JSONEq(t, string(before), string(apply(t, after, ingressgen.Release(parse(t, after), ingressgen.View{}).Edits)), "Release(Rewrite(x)) must be x")
	}
	patch := ingressgen.WithPreconditions(ingress, first.Edits)
	require.JSONEq(t, string(after), string(apply(t, before, patch)), "the preconditions must hold for the Ingress itself")
}

func loadView(t *testing.T, dir string) ingressgen.View {
	t.Helper()
	file := caseFile(dir, "config.yaml")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	table, err := config.Load(file, text)
	require.NoError(t, err)
	var state caseState
	if text, err := os.ReadFile(filepath.Join(dir, "state.yaml")); err == nil {
		require.NoError(t, yaml.UnmarshalStrict(text, &state))
	}
	view := serving(table)
	view.State.Paused, view.Blocked = state.Paused, state.Blocked
	if state.Admission {
		view.Admission = &ingressgen.Admission{}
		if stored := filepath.Join(dir, "stored.yaml"); exists(stored) {
			view.Admission.Stored = parse(t, readJSON(t, stored))
		}
	}
	for name, service := range state.Services {
		view.State.Services[name] = service
	}
	for _, name := range state.Missing {
		delete(view.State.Services, name)
	}
	view.Ports, view.CanaryControllers = state.Ports, state.Controllers
	return view
}

// namedPorts are the numbers of ports by "SERVICE/NAME".
type namedPorts map[string]int32

// PortNumber implements ingressgen.PortLookup.
func (p namedPorts) PortNumber(service, name string) (int32, bool) {
	number, ok := p[service+"/"+name]
	return number, ok
}

// ExternalPort implements ingressgen.PortLookup: "SERVICE:PORT" is the port of an
// ExternalName.
func (p namedPorts) ExternalPort(service string, port int32) int32 {
	return p[fmt.Sprintf("%s:%d", service, port)]
}

// Service implements ingressgen.PortLookup: none is known.
func (p namedPorts) Service(string) *corev1.Service { return nil }

// serving is the view of a cluster in which every service is migrating.
func serving(table *migration.Table) ingressgen.View {
	state := status.Cluster{Services: map[string]status.ClusterService{}}
	for _, s := range table.Services() {
		state.Services[string(s.Name)] = status.ClusterService{
			Host: string(s.OldHost), PathPrefix: string(s.PathPrefix), Phase: status.Migrating,
		}
	}
	return ingressgen.View{Table: table, State: state}
}

// apply does what the API server does: it patches the JSON, not our types.
func apply(t require.TestingT, document []byte, edits []ingressgen.Edit) []byte {
	after, err := tryApply(t, document, edits)
	require.NoError(t, err)
	return after
}

func tryApply(t require.TestingT, document []byte, edits []ingressgen.Edit) ([]byte, error) {
	if len(edits) == 0 {
		return document, nil
	}
	text, err := json.Marshal(edits)
	require.NoError(t, err)
	patch, err := jsonpatch.DecodePatch(text)
	require.NoError(t, err)
	return patch.Apply(document)
}

func parse(t require.TestingT, document []byte) *networkingv1.Ingress {
	var ingress networkingv1.Ingress
	require.NoError(t, json.Unmarshal(document, &ingress))
	return &ingress
}

func readJSON(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	document, err := yaml.YAMLToJSON(text)
	require.NoError(t, err)
	return document
}

func marshal(t require.TestingT, value any) []byte {
	text, err := yaml.Marshal(value)
	require.NoError(t, err)
	return text
}
