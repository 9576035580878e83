package e2e

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// TestUserEditsMidMigration changes an Ingress by the user's manifest, with several
// tools, during the migration. All changes are kept, the migration goes on, and the
// opt-out leads to the newest manifest.
func TestUserEditsMidMigration(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"apply":           {"apply", "-f", "-"},
		"ServerSideApply": {"apply", "--server-side", "-f", "-"},
		"replace":         {"replace", "-f", "-"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := cluster.NewApp(t)
			write := func(manifest string) {
				s.Run(t, world.Command{Program: "kubectl", Args: args, Input: manifest})
			}
			if name == "replace" {
				s.Run(t, world.Command{Program: "kubectl", Args: []string{"create", "-f", "-"}, Input: s.Manifest("shop", enabled)})
			} else {
				write(s.Manifest("shop", enabled))
			}
			s.Configure(100)
			s.WaitForPhase("shop", migrating) // by the watcher: the Ingress existed before the service
			stream := s.Stream()

			write(s.Manifest("shop", func(ingress *networkingv1.Ingress) { enabled(ingress); nextVersion(s, ingress) }))
			s.WaitForIngress("shop", "rewritten with the new path", bothRewritten)
			ingress := s.GetIngress("shop")
			require.Equal(t, "shop-tls", ingress.Spec.TLS[0].SecretName)
			require.Equal(t, "10", ingress.Annotations["example.com/limit"])
			s.WaitForSplit(100)
			s.WaitForSplit(100, world.To("/grown/x"))

			write(s.Manifest("shop", func(ingress *networkingv1.Ingress) { nextVersion(s, ingress) })) // without the annotation
			s.WaitForIngress("shop", "restored", restored)
			stream.StopWithoutLoss()
			requireAsWritten(t, s, func(ingress *networkingv1.Ingress) { nextVersion(s, ingress) })
		})
	}
}

// nextVersion makes the changes of the user's next version.
func nextVersion(s *world.App, ingress *networkingv1.Ingress) {
	if ingress.Annotations == nil {
		ingress.Annotations = map[string]string{}
	}
	ingress.Annotations["example.com/limit"] = "10"
	ingress.Spec.TLS = []networkingv1.IngressTLS{{Hosts: []string{s.Host}, SecretName: "shop-tls"}}
	paths := &ingress.Spec.Rules[0].HTTP.Paths
	*paths = append([]networkingv1.HTTPIngressPath{world.Path("/grown", world.Old, 8000)}, *paths...)
}

func bothRewritten(ingress *networkingv1.Ingress) error {
	for path := range 2 {
		if got := world.Backend(ingress, 0, path); !world.Rewritten(got) {
			return fmt.Errorf("path %d leads to %q", path, got)
		}
	}
	return nil
}

// requireAsWritten requires that the Ingress has exactly the content of the manifest,
// apart from kubectl's own annotation.
func requireAsWritten(t *testing.T, s *world.App, change func(*networkingv1.Ingress)) {
	t.Helper()
	var want networkingv1.Ingress
	require.NoError(t, yaml.UnmarshalStrict([]byte(s.Manifest("shop", change)), &want))
	got := s.GetIngress("shop")
	require.Equal(t, want.Spec, got.Spec)
	delete(got.Annotations, "kubectl.kubernetes.io/last-applied-configuration")
	require.Equal(t, want.Annotations, got.Annotations)
}
