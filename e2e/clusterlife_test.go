package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// TestServiceBeginsWithADigit: since Kubernetes 1.34 names of Services may begin with a
// digit. Such a backend is put back as its user wrote it, with the name of its port, in
// each way out.
func TestServiceBeginsWithADigit(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	const digit = "1app"
	_, err := s.Client.CoreV1().Services(s.Namespace).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: digit},
		Spec: corev1.ServiceSpec{
			ClusterIP: corev1.ClusterIPNone, Selector: map[string]string{world.ActorLabel: world.Old}, Ports: []corev1.ServicePort{{Name: "web", Port: 8000}},
		},
	}, metav1.CreateOptions{})
	if apierrors.IsInvalid(err) {
		t.Skip("this API server takes no such name")
	}
	require.NoError(t, err)
	s.Ingress("shop", func(ingress *networkingv1.Ingress) {
		ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service = &networkingv1.IngressServiceBackend{
			Name: digit, Port: networkingv1.ServiceBackendPort{Name: "web"},
		}
	})
	before := s.IngressJSON("shop")
	stream := s.Stream()
	migrate := func() {
		s.ConfigureBehind(digit, s.Host, 50)
		s.OptIn("shop")
		s.WaitForPhase("shop", migrating)
		s.WaitForSplit(50)
	}

	migrate()
	s.OptOut("shop")
	s.WaitForIngressJSON("shop", before)

	migrate()
	s.Unconfigure()
	s.WaitForPhase("shop", bypassed)
	require.Equal(t, digit+":web", world.Backend(s.GetIngress("shop"), 0, 0), "the service has left the config")
	s.OptOut("shop")
	s.WaitForIngressJSON("shop", before)

	migrate()
	s.Proxy(t, "restore", s.Namespace+"/shop")
	require.Equal(t, digit+":web", world.Backend(s.GetIngress("shop"), 0, 0), "restore")
	stream.StopWithoutLoss()
}

// policyText is a policy of a cluster's administrator that names the backends which a
// namespace may have, so it refuses ours.
const policyText = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: %[1]s}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules: [{apiGroups: [networking.k8s.io], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [ingresses]}]
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[1]s}}
  validations:
  - expression: "object.spec.rules.all(r, r.http.paths.all(p, p.backend.service.name == 'old'))"
    message: "only Service old here"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: %[1]s}
spec: {policyName: %[1]s, validationActions: [Deny]}
`

// TestPolicyBlocksWrites: what a policy refuses stays as its user wrote it, with the true
// reason, and the user's own writes pass although admission would rewrite them. Once the
// policy is gone, the next edit leads to the proxy.
func TestPolicyBlocksWrites(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	const message = "only Service old here"
	policy := fmt.Sprintf(policyText, s.Namespace)
	apply := func(t world.T, verb string, more ...string) {
		cluster.Run(t, world.Command{Program: "kubectl", Args: append([]string{verb, "-f", "-"}, more...), Input: policy})
	}
	apply(t, "apply")
	t.Cleanup(func() { apply(cleanup{t}, "delete", "--ignore-not-found") })
	world.Eventually(t, "the policy is in force", func(ctx context.Context) error { return refusedByPolicy(ctx, s) })
	s.Ingress("shop")
	spec := s.GetIngress("shop").Spec
	stream := s.Stream()
	s.Configure(100)
	s.OptIn("shop")
	s.WaitForIngress("shop", "the true reason", func(ingress *networkingv1.Ingress) error {
		return errors.Join(world.InPhase(bypassed)(ingress), contains(world.Annotation(ingress, "reason"), message))
	})
	s.WaitForEvent(t, s.Namespace, "Ingress", "WriteRefused", message)
	for n := range 5 {
		s.Kubectl(t, "annotate", "ingress", "shop", "-n", s.Namespace, fmt.Sprintf("example.com/mine=%d", n), "--overwrite")
		s.Kubectl(t, "label", "ingress", "shop", "-n", s.Namespace, fmt.Sprintf("mine=%d", n), "--overwrite")
	}
	now := s.GetIngress("shop")
	require.Equal(t, spec, now.Spec)
	require.Equal(t, "4", now.Annotations["example.com/mine"])
	require.Contains(t, s.Proxy(t, "status"), message)

	apply(t, "delete")
	edits := 0
	world.Eventually(t, "rewritten after an edit", func(context.Context) error {
		edits++
		s.Kubectl(t, "annotate", "ingress", "shop", "-n", s.Namespace, fmt.Sprintf("example.com/mine=later-%d", edits), "--overwrite")
		return world.InPhase(migrating)(s.GetIngress("shop"))
	})
	s.WaitForSplit(100)
	stream.StopWithoutLoss()
}

// refusedByPolicy gives nil if the API server refuses an Ingress that names another Service.
func refusedByPolicy(ctx context.Context, s *world.App) error {
	probe := &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Name: "probe"},
		Spec:       networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{world.Rule("probe."+s.Host, world.Path("/", "other", 80))}},
	}
	_, err := s.Client.NetworkingV1().Ingresses(s.Namespace).Create(ctx, probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err == nil {
		return errors.New("it was allowed")
	}
	return nil
}
