package world

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
)

// strangerName is the Pod of clients in the App's namespace: not the ingress controller's
// and not ours, so NetworkPolicies may refuse it.
const strangerName = "stranger"

// WaitForStranger waits until a Pod of the App's namespace can connect, or cannot, to a
// port of every Pod of a Deployment.
func (s *App) WaitForStranger(deployment string, port int, connects bool) {
	s.t.Helper()
	must(s.t, s.createStranger(), "create the stranger")
	Eventually(s.t, fmt.Sprintf("port %d of %s: a stranger connects=%t", port, deployment, connects), func(ctx context.Context) error {
		pods, err := s.Pods(ctx, deployment)
		if err != nil {
			return err
		}
		for i := range pods {
			if reached, err := s.strangerConnects(ctx, pods[i].Status.PodIP, port); err != nil || reached != connects {
				return errors.Join(err, fmt.Errorf("%s: %t", pods[i].Name, reached))
			}
		}
		return nil
	})
}

// strangerConnects tells whether a TCP connection is possible. What the port then says to
// plain HTTP does not matter.
func (s *App) strangerConnects(ctx context.Context, address string, port int) (bool, error) {
	q := actorRequest{
		namespace: s.Namespace, pod: strangerName, path: wire.PathConnect,
		params: map[string]string{"address": net.JoinHostPort(address, strconv.Itoa(port))},
	}
	var answer wire.Connected
	err := s.callActor(ctx, q, &answer)
	return answer.OK, err
}

func (s *App) createStranger() error {
	ctx := s.t.Context()
	_, err := s.Client.CoreV1().Pods(s.Namespace).Get(ctx, strangerName, metav1.GetOptions{})
	if err == nil || ignoreNotFound(err) != nil {
		return err
	}
	stranger := actor{namespace: s.Namespace, name: strangerName, args: []string{"traffic", "--target", s.target}}
	if err := s.createActor(ctx, stranger); err != nil {
		return err
	}
	return poll(ctx, strangerName, func(ctx context.Context) error { return s.ready(ctx, s.Namespace, strangerName) })
}

// EnforcesPolicies tells whether the cluster's network enforces NetworkPolicies: whether
// one that lets nobody in keeps the stranger away from the App's old backend.
func (s *App) EnforcesPolicies() bool {
	s.t.Helper()
	ctx := s.t.Context()
	must(s.t, s.createStranger(), "create the stranger")
	pod, err := s.Client.CoreV1().Pods(s.Namespace).Get(ctx, Old, metav1.GetOptions{})
	must(s.t, err, "get the old backend")
	policies := s.Client.NetworkingV1().NetworkPolicies(s.Namespace)
	_, err = policies.Create(ctx, &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "nobody"},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{ActorLabel: Old}},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
		},
	}, metav1.CreateOptions{})
	must(s.t, err, "create a NetworkPolicy")
	defer func() { must(s.t, policies.Delete(ctx, "nobody", metav1.DeleteOptions{}), "delete the NetworkPolicy") }()
	return s.blocked(ctx, pod)
}

// blocked waits for a while until the stranger cannot connect.
func (s *App) blocked(ctx context.Context, pod *corev1.Pod) bool {
	ctx, cancel := context.WithTimeout(ctx, Timeout/4)
	defer cancel()
	for ctx.Err() == nil {
		if reached, err := s.strangerConnects(ctx, pod.Status.PodIP, wire.TrafficPort); err == nil && !reached {
			return true
		}
	}
	return false
}
