package e2e

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// TestCertificateRotation replaces the webhook's certificate while Ingresses and
// configs are written. No call to the webhook may fail; for an Ingress a failed call
// shows as a missing annotation.
func TestCertificateRotation(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	s.Configure(50)
	s.Ingress("shop", enabled)
	s.WaitForPhase("shop", migrating)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan writes, 1)
	go func() { done <- writeUntilDone(ctx, s) }()

	before := certificateExpiries(t.Context(), t)
	require.Len(t, before, 2)
	s.Kubectl(t, "delete", "secret", "migration-proxy-webhook-tls", "-n", world.Namespace)
	world.EventuallyWithin(t, 3*time.Minute, "the new certificate on every replica", func(ctx context.Context) error {
		now := certificateExpiries(ctx, t)
		for pod, expiry := range before {
			if now[pod] == expiry || now[pod] == "" {
				return fmt.Errorf("%s had %s and has %q", pod, expiry, now[pod])
			}
		}
		return nil
	})
	stop()
	got := <-done
	t.Logf("%d writes during the rotation", got.made)
	require.Empty(t, got.failed)
}

type writes struct {
	made   int
	failed []string
}

// after is the number of writes that follow when the disturbance is over.
const after = 20

// writeUntilDone makes dry-run writes until the context ends, and a few after it.
func writeUntilDone(ctx context.Context, s *world.App) (w writes) {
	for left := after; left > 0; w.made++ {
		if ctx.Err() != nil {
			left--
		}
		if err := writeOnce(context.WithoutCancel(ctx), s); err != nil {
			w.failed = append(w.failed, time.Now().Format(time.StampMilli)+" "+err.Error())
		}
	}
	return w
}

func writeOnce(ctx context.Context, s *world.App) error {
	dry := metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}}
	ingresses := s.Client.NetworkingV1().Ingresses(s.Namespace)
	fresh := &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Name: "fresh", Namespace: s.Namespace},
		Spec:       networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{world.Rule(s.Host, world.Path("/", world.Old, 8000))}},
	}
	enabled(fresh)
	made, err := ingresses.Create(ctx, fresh, metav1.CreateOptions{DryRun: dry.DryRun})
	if err != nil {
		return err
	}
	if world.Annotation(made, "phase") == "" { // any phase: one replica may be a moment behind the other
		return errors.New("admission was not called")
	}
	maps := s.Client.CoreV1().ConfigMaps(world.Namespace)
	config, err := maps.Get(ctx, world.ConfigMap, metav1.GetOptions{})
	if err != nil {
		return err
	}
	config.ResourceVersion = "" // other scenarios write it at the same time
	config.Data[world.ConfigKey] += "# a comment\n"
	_, err = maps.Update(ctx, config, dry)
	return err
}

var expiryMetric = regexp.MustCompile(`(?m)^migration_proxy_certificate_expiry_timestamp_seconds(?:\{[^}]*\})? (\S+)$`)

// certificateExpiries gives the expiry of the certificate that each webhook Pod
// serves.
func certificateExpiries(ctx context.Context, t *testing.T) map[string]string {
	t.Helper()
	pods, err := cluster.Pods(ctx, world.Webhook)
	require.NoError(t, err)
	found := map[string]string{}
	for _, pod := range pods {
		text, err := cluster.Metrics(ctx, pod.Name)
		require.NoError(t, err)
		if match := expiryMetric.FindStringSubmatch(text); match != nil {
			found[pod.Name] = match[1]
		}
	}
	return found
}
