package gitops

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/diff"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/discovery"
	"k8s.io/kube-openapi/pkg/util/proto"

	"github.com/migration-proxy/migration-proxy/internal/controlplane"
)

const (
	argo = "argocd-controller"    // Argo CD's field manager
	flux = "kustomize-controller" // Flux's
)

// tool is how a GitOps tool writes, and how it finds out whether it must.
type tool struct {
	apply     []string // arguments of kubectl apply
	outOfSync func(t *testing.T, git, live *unstructured.Unstructured) bool
}

var tools = map[string]tool{
	"Argo CD, client-side apply": {[]string{"--field-manager=" + argo}, argoDiff},
	"Argo CD, server-side apply": {[]string{"--server-side", "--force-conflicts", "--field-manager=" + argo}, argoDiff},
	"Flux":                       {[]string{"--server-side", "--force-conflicts", "--field-manager=" + flux}, fluxDiff},
}

// TestSync: Argo CD and Flux bring what is in Git, and see no difference afterwards.
func TestSync(t *testing.T) {
	install(t)
	for name, tool := range tools {
		t.Run(name, func(t *testing.T) { testTool(t, tool) })
	}
	t.Run("Argo CD's default diff", testDefaultDiff)
}

// testTool: with each tool, the first Ingress, a new path and rule, and a renamed
// Service arrive. In between the tool sees no difference, and five more syncs change
// nothing in the spec: its generation stays.
func testTool(t *testing.T, tool tool) {
	kubectl(t, "", "delete", "ingress", "git", "-n", "shop", "--ignore-not-found")
	for _, step := range []struct {
		version string
		want    string // host+path of each path, with ! where the proxy answers
	}{
		{"v1", "app.example.com/!"},
		{"v2", "app.example.com/! app.example.com/added! second.example.com/!"},
		{"v3", "app.example.com/=renamed"},
	} {
		if step.version != "v1" {
			require.True(t, tool.outOfSync(t, read(t, step.version), live(t)), "%s is a change", step.version)
		}
		apply(t, tool, step.version)
		require.Eventually(t, func() bool {
			return step.want == paths(live(t)) && !tool.outOfSync(t, read(t, step.version), live(t))
		}, 30*time.Second, 100*time.Millisecond, "%s: settled and in sync", step.version)
		before := live(t).GetGeneration()
		for range 5 {
			apply(t, tool, step.version)
			require.False(t, tool.outOfSync(t, read(t, step.version), live(t)))
		}
		require.Equal(t, before, live(t).GetGeneration(), "%s: no change", step.version)
	}
}

// testDefaultDiff: without ServerSideDiff Argo CD compares Git with what is
// stored, and shows OutOfSync for ever (docs/operations.md).
func testDefaultDiff(t *testing.T) {
	kubectl(t, "", "delete", "ingress", "git", "-n", "shop", "--ignore-not-found")
	apply(t, tools["Argo CD, client-side apply"], "v1")
	require.Eventually(t, func() bool { return paths(live(t)) == "app.example.com/!" }, 30*time.Second, 100*time.Millisecond)
	result, err := diff.Diff(read(t, "v1"), live(t))
	require.NoError(t, err)
	require.True(t, result.Modified)
}

// argoDiff is Argo CD's diff with ServerSideDiff=true and no ignoreDifferences.
func argoDiff(t *testing.T, git, live *unstructured.Unstructured) bool {
	result, err := diff.Diff(git, live, diff.WithServerSideDiff(true), diff.WithServerSideDryRunner(dryRunner{t}),
		diff.WithGVKParser(parser(t)), diff.WithManager(argo))
	require.NoError(t, err)
	return result.Modified
}

// dryRunner is the server-side apply of Argo CD's diff.
type dryRunner struct{ t *testing.T }

// Run implements diff.ServerSideDryRunner.
func (r dryRunner) Run(_ context.Context, object *unstructured.Unstructured, manager string) (string, error) {
	return dryRun(r.t, object, manager), nil
}

func dryRun(t *testing.T, object *unstructured.Unstructured, manager string) string {
	t.Helper()
	text, err := object.MarshalJSON()
	require.NoError(t, err)
	return kubectl(t, string(text), "apply", "--server-side", "--dry-run=server", "--force-conflicts",
		"--field-manager="+manager, "-o", "json", "--show-managed-fields", "-f", "-")
}

// fluxDiff is what Flux does before it applies: a dry run, whose result it compares with
// the live object, without the server's own fields.
func fluxDiff(t *testing.T, git, live *unstructured.Unstructured) bool {
	t.Helper()
	predicted := &unstructured.Unstructured{}
	require.NoError(t, predicted.UnmarshalJSON([]byte(dryRun(t, git, flux))))
	for _, object := range []*unstructured.Unstructured{predicted, live} {
		object.SetManagedFields(nil)
		object.SetResourceVersion("")
		object.SetGeneration(0)
		unstructured.RemoveNestedField(object.Object, "status")
	}
	return !equality.Semantic.DeepEqual(predicted.Object, live.Object)
}

func parser(t *testing.T) *managedfields.GvkParser {
	t.Helper()
	client, err := discovery.NewDiscoveryClientForConfig(plane.Config())
	require.NoError(t, err)
	document, err := client.OpenAPISchema()
	require.NoError(t, err)
	models, err := proto.NewOpenAPIData(document)
	require.NoError(t, err)
	made, err := managedfields.NewGVKParser(models, false)
	require.NoError(t, err)
	return made
}

func read(t *testing.T, version string) *unstructured.Unstructured {
	t.Helper()
	text, err := os.ReadFile("testdata/" + version + ".json")
	require.NoError(t, err)
	object := &unstructured.Unstructured{}
	require.NoError(t, object.UnmarshalJSON(text))
	return object
}

func live(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	text := kubectl(t, "", "get", "ingress", "git", "-n", "shop", "-o", "json", "--show-managed-fields")
	require.NoError(t, object.UnmarshalJSON([]byte(text)))
	return object
}

func apply(t *testing.T, with tool, version string) {
	t.Helper()
	kubectl(t, "", append([]string{"apply", "-f", "testdata/" + version + ".json"}, with.apply...)...)
}

// paths lists the paths of an Ingress: with ! when they point at the proxy, with the
// Service when it is another than Git's first one.
func paths(ingress *unstructured.Unstructured) string {
	var typed struct {
		Spec struct {
			Rules []struct {
				Host string
				HTTP struct {
					Paths []struct {
						Path    string
						Backend struct{ Service struct{ Name string } }
					}
				}
			}
		}
	}
	text, _ := json.Marshal(ingress.Object)
	if err := json.Unmarshal(text, &typed); err != nil {
		return err.Error()
	}
	var all []string
	for _, rule := range typed.Spec.Rules {
		for _, path := range rule.HTTP.Paths {
			mark := "=" + path.Backend.Service.Name
			if strings.HasPrefix(path.Backend.Service.Name, "migration-proxy") {
				mark = "!"
			}
			all = append(all, rule.Host+path.Path+mark)
		}
	}
	return strings.Join(all, " ")
}

// kubectl gives standard output.
func kubectl(t *testing.T, input string, args ...string) string {
	t.Helper()
	program, err := controlplane.Program("kubectl")
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), program, args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+plane.Kubeconfig(), "HOME="+t.TempDir())
	command.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	require.NoError(t, command.Run(), fmt.Sprint(args)+stderr.String())
	return stdout.String()
}
