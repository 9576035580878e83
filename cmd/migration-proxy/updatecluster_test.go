package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

// patienceOfPolicies is far above the second that it takes.
const patienceOfPolicies = 30 * time.Second

// update runs `migration-proxy update ... --no-wait` as a user would.
func (s *site) update(args ...string) (string, error) {
	return s.try(append([]string{"update", "--no-wait"}, args...)...)
}

func manyServices(t *testing.T, count int) *site {
	t.Helper()
	s := testSite(t)
	var text strings.Builder
	text.WriteString("# many\nservices:\n")
	for i := range count {
		fmt.Fprintf(&text, "- {name: s%[1]d, old_host: s%[1]d.example.com, old_backend: 'a:80', new_host: b, new_backend: 'b:80', migration: {percentage: 0}}\n", i)
	}
	require.NoError(t, s.write(t.Context(), text.String()))
	return s
}

// TestUpdatesAtOnce: who is late reads again, and no update is lost.
func TestUpdatesAtOnce(t *testing.T) {
	t.Parallel()
	const users = 4
	s := manyServices(t, users)
	var group errgroup.Group
	for i := range users {
		group.Go(func() error {
			output, err := s.update(fmt.Sprintf("s%d", i), fmt.Sprint(10+i))
			if err != nil {
				return fmt.Errorf("%w: %s", err, output)
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	found, err := s.client.CoreV1().ConfigMaps(s.namespace).Get(t.Context(), names.ConfigMap, metav1.GetOptions{})
	require.NoError(t, err)
	text := found.Data[names.ConfigKey]
	require.True(t, strings.HasPrefix(text, "# many\n"))
	for i := range users {
		require.Contains(t, text, fmt.Sprintf("percentage: %d}", 10+i))
	}
}

// object lets admission say something about one percentage.
func (s *site) object(t *testing.T, percentage, message string, action admissionregistrationv1.ValidationAction) {
	t.Helper()
	name := fmt.Sprintf("says-%s-%s", percentage, s.namespace)
	policies := s.client.AdmissionregistrationV1()
	_, err := policies.ValidatingAdmissionPolicies().Create(t.Context(), &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{RuleWithOperations: admissionregistrationv1.RuleWithOperations{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Update},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
			}}}},
			Validations: []admissionregistrationv1.Validation{{
				Expression: fmt.Sprintf("!object.data['%s'].contains('percentage: %s')", names.ConfigKey, percentage),
				Message:    message, Reason: new(metav1.StatusReasonForbidden),
			}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = policies.ValidatingAdmissionPolicyBindings().Create(t.Context(), &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: name, ValidationActions: []admissionregistrationv1.ValidationAction{action},
			MatchResources: &admissionregistrationv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": s.namespace}}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}

// TestUpdateThatAdmissionRefuses: what it says is shown, also in a dry run and
// also if it only warns, and is not taken for a missing right.
func TestUpdateThatAdmissionRefuses(t *testing.T) {
	t.Parallel()
	s := manyServices(t, 1)
	s.object(t, "77", "not on a Friday", admissionregistrationv1.Deny)
	s.object(t, "66", "are you sure", admissionregistrationv1.Warn)
	var output string
	for percentage, says := range map[string]string{"77": "not on a Friday", "66": "Warning: .*are you sure"} {
		require.True(t, poll(t.Context(), patienceOfPolicies, func() bool { // the API server compiles it by and by
			output, _ = s.update("s0", percentage, "--dry-run")
			return regexp.MustCompile(says).MatchString(output)
		}), output)
		require.NotContains(t, output, "administrator")
	}
	output, err := s.update("s0", "77")
	require.Error(t, err)
	require.Contains(t, output, "not on a Friday")
	output, err = s.update("s0", "66")
	require.NoError(t, err, output)
}

// TestUpdateThroughHiccups: an API server that is away for a moment does not
// end the waiting; a right that is missing does.
func TestUpdateThroughHiccups(t *testing.T) {
	t.Parallel()
	s := manyServices(t, 1)
	_, err := s.replica(t.Context(), "one")
	require.NoError(t, err)
	require.True(t, poll(t.Context(), 30*time.Second, func() bool {
		output, _ := s.try("status")
		return strings.Contains(output, "all serve")
	}))
	var asked atomic.Int32
	answer := s.through(t, func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "endpointslices") || asked.Add(1) != 2 { // the first is before the change
			return false
		}
		http.Error(w, "etcdserver: leader changed", http.StatusServiceUnavailable)
		return true
	})
	output, err := answer("update", "s0", "20")
	require.NoError(t, err, output)
	require.Contains(t, output, "in force on 1 replica")
	require.Greater(t, asked.Load(), int32(2))

	asked.Store(0)
	nobody := relay(t, rest.AnonymousClientConfig(s.plane.Config()))
	answer = s.through(t, func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "endpointslices") || asked.Add(1) == 1 {
			return false
		}
		nobody.ServeHTTP(w, r)
		return true
	})
	output, err = answer("update", "s0", "30", "--timeout", "1m")
	require.Error(t, err, output)
	require.Contains(t, output, "system:anonymous may not list endpointslices")
	require.Equal(t, int32(2), asked.Load())
}

// through runs the program against the real API server with somebody in
// between, who may answer in its place.
func (s *site) through(t *testing.T, instead func(http.ResponseWriter, *http.Request) bool) func(args ...string) (string, error) {
	t.Helper()
	server := relay(t, s.plane.Config())
	between := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !instead(w, r) {
			server.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(between.Close)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: between.URL}},
		Contexts:       map[string]*clientcmdapi.Context{"c": {Cluster: "c"}},
		CurrentContext: "c",
	}, kubeconfig))
	return func(args ...string) (string, error) { return s.try(append(args, "--kubeconfig", kubeconfig)...) }
}

// relay hands requests on to the API server.
func relay(t *testing.T, config *rest.Config) http.Handler {
	t.Helper()
	transport, err := rest.TransportFor(config)
	require.NoError(t, err)
	target, err := url.Parse(config.Host)
	require.NoError(t, err)
	return &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
}
