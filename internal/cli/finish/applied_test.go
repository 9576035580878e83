package finish_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/migration-proxy/migration-proxy/finish"
	clifinish "github.com/migration-proxy/migration-proxy/internal/cli/finish"
	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
	"github.com/migration-proxy/migration-proxy/internal/controlplane"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// definitions are the CRDs of the kinds that finish writes, as their projects publish them.
func definitions(ctx context.Context) ([]string, error) {
	files := []string{"testdata/crds/dnsendpoints.externaldns.k8s.io.yaml"}
	for module, file := range map[string]string{
		"github.com/cert-manager/cert-manager": "deploy/crds/cert-manager.io_certificates.yaml",
		"sigs.k8s.io/gateway-api":              "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
	} {
		folder, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
		if err != nil {
			return nil, fmt.Errorf("find %s: %w", module, err)
		}
		files = append(files, filepath.Join(strings.TrimSpace(string(folder)), file))
	}
	return files, nil
}

var plane *controlplane.ControlPlane

func TestMain(m *testing.M) { os.Exit(controlplane.Main(m, controlplane.Options{}, &plane)) }

// newCluster is an installation with a config, and an Ingress that is opted in.
func newCluster(t *testing.T) *installation.Installation {
	t.Helper()
	namespace, err := plane.Namespace(t.Context(), "finish")
	require.NoError(t, err)
	cluster, err := kube.Connect(kube.Connection{Kubeconfig: plane.Kubeconfig(), Namespace: namespace})
	require.NoError(t, err)
	in := installation.New(cluster)
	_, err = in.CoreV1().ConfigMaps(namespace).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: names.ConfigMap},
		Data: map[string]string{names.ConfigKey: "services: [{name: my_shop.v2, old_host: shop.example, old_backend: 'shop:80', " +
			"new_host: shop.new.example, new_backend: 'https://lb.new.example'}]"},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	prefix, anyPath := networkingv1.PathTypePrefix, networkingv1.PathTypeImplementationSpecific
	old := networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "shop", Port: networkingv1.ServiceBackendPort{Number: 80}}}
	class := "nginx"
	_, err = in.NetworkingV1().Ingresses(namespace).Create(t.Context(), &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Name: "shop", Annotations: map[string]string{
			"migration-proxy.io/enabled": "true", "nginx.ingress.kubernetes.io/proxy-read-timeout": "120",
			"nginx.ingress.kubernetes.io/use-regex": "true", "nginx.ingress.kubernetes.io/enable-cors": "true",
		}},
		Spec: networkingv1.IngressSpec{IngressClassName: &class, Rules: []networkingv1.IngressRule{{Host: "shop.example", IngressRuleValue: networkingv1.IngressRuleValue{
			HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{
				{Path: "/", PathType: &prefix, Backend: old}, {Path: "/v(1|2)/.*", PathType: &anyPath, Backend: old}, {Path: "/Images", PathType: &anyPath, Backend: old},
			}},
		}}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	return in
}

// TestTheNewClusterTakesTheManifests creates each object, as printed, on a real API server
// with the published CRDs: nothing in it is unknown, and nothing invalid. Traffic never goes to
// a placeholder: an Ingress or HTTPRoute with one is refused.
func TestTheNewClusterTakesTheManifests(t *testing.T) {
	t.Parallel()
	files, err := definitions(t.Context())
	require.NoError(t, err)
	require.NoError(t, plane.InstallCRDs(t.Context(), files...))
	objects, err := dynamic.NewForConfig(plane.Config())
	require.NoError(t, err)
	in := newCluster(t)
	for kind, resource := range map[finish.Kind]schema.GroupVersionResource{
		finish.KindHTTPRoute:   {Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"},
		finish.KindIngress:     {Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"},
		finish.KindCertificate: {Group: "cert-manager.io", Version: "v1", Resource: "certificates"},
		finish.KindDNSEndpoint: {Group: "externaldns.k8s.io", Version: "v1alpha1", Resource: "dnsendpoints"},
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			dryRun := func(target finish.Target) error {
				target.Namespace = in.Namespace
				var text bytes.Buffer
				err := clifinish.Manifest(t.Context(), &text, clifinish.InCluster{Installation: in}, clifinish.ManifestRequest{Service: "my_shop.v2", Kind: kind, Target: target})
				if !errors.Is(err, clifinish.ErrUnsaid) {
					require.NoError(t, err)
				}
				object := &unstructured.Unstructured{}
				require.NoError(t, yaml.UnmarshalStrict(text.Bytes(), &object.Object), text.String())
				_, err = objects.Resource(resource).Namespace(in.Namespace).Create(t.Context(), object, metav1.CreateOptions{
					DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict,
				})
				return err
			}
			require.NoError(t, dryRun(finish.Target{
				Gateway: finish.ObjectID{Namespace: "infra", Name: "public"}, Section: "https", Backend: "web", Port: 8080, Class: "kong", Issuer: "dns", Address: "192.0.2.7",
			}))
			if err := dryRun(finish.Target{}); kind == finish.KindHTTPRoute || kind == finish.KindIngress {
				require.ErrorContains(t, err, "is invalid")
			} else {
				require.NoError(t, err, "new_backend is known, and a Certificate waits for its issuer")
			}
		})
	}
}
