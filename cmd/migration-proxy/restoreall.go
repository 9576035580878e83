package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/user"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/cluster"
	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/status"
)

const (
	// notice is how long ingress controllers get to follow the restored
	// Ingresses before the Service that they pointed at goes: ingress-nginx
	// reloads about once a second.
	notice = 5 * time.Second
	// settleTime is when the cluster is looked at again: a webhook that has
	// not heard of the pause yet may have rewritten an Ingress once more.
	settleTime = 500 * time.Millisecond
)

// ours are the objects that carry our label.
var ours = metav1.ListOptions{LabelSelector: cluster.ManagedByLabel + "=" + cluster.Manager}

// all pauses, restores every Ingress and then removes what was generated, and
// looks again until nothing is left. Traffic first: a Service goes when
// nothing has pointed at it for a while.
func (r restorer) all(ctx context.Context) error {
	if err := r.pause(ctx, new("'restore --all' by "+invoker()+" at "+time.Now().UTC().Format(time.RFC3339))); err != nil {
		return err
	}
	total, err := r.untilNone(ctx, r.restoreIngresses)
	if err != nil {
		return err
	}
	if total > 0 {
		if err := wait(ctx, notice); err != nil {
			return err
		}
	}
	removed, err := r.untilNone(ctx, r.removeGenerated)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(r.out, "paused; %d Ingresses restored, %d generated objects removed, nothing of ours is left\n"+
		"'migration-proxy restore --resume' goes on with the migration\n", total, removed)
	return err
}

// untilNone repeats a step until it finds nothing to do, and gives how much it
// did.
func (r restorer) untilNone(ctx context.Context, step func(context.Context) (int, error)) (total int, err error) {
	for {
		done, err := step(ctx)
		if err != nil {
			return total, err
		}
		if total += done; done == 0 {
			return total, nil
		}
		if err := wait(ctx, settleTime); err != nil {
			return total, err
		}
	}
}

func wait(ctx context.Context, length time.Duration) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("not everything could be restored in time, run it again: %w", ctx.Err())
	case <-time.After(length):
		return nil
	}
}

// invoker is who restores, for those who wonder about the pause.
func invoker() string {
	if who, err := user.Current(); err == nil {
		return who.Username
	}
	return "somebody"
}

// pause sets the key that webhook and watcher obey, or removes it (nil). With a
// pause the recorded state goes: it says where the Services are, which are
// about to be removed. A watcher that runs writes it anew.
func (r restorer) pause(ctx context.Context, why *string) error {
	data := map[string]*string{status.PausedKey: why}
	if why != nil {
		data[status.ClusterKey] = nil
	}
	patch, err := json.Marshal(map[string]any{"data": data})
	if err != nil {
		return fmt.Errorf("write the patch: %w", err)
	}
	configMaps := r.CoreV1().ConfigMaps(r.namespace)
	_, err = configMaps.Patch(ctx, cluster.StateMap, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: cluster.Manager})
	switch {
	case err == nil || apierrors.IsNotFound(err) && why == nil:
		return nil
	case !apierrors.IsNotFound(err):
		return need{"patch", "configmaps", r.namespace}.explain(err)
	}
	state := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: cluster.StateMap}, Data: map[string]string{status.PausedKey: *why}}
	if _, err := configMaps.Create(ctx, state, metav1.CreateOptions{FieldManager: cluster.Manager}); err != nil {
		return need{"create", "configmaps", r.namespace}.explain(err)
	}
	return nil
}

func (r restorer) resume(ctx context.Context) error {
	if err := r.pause(ctx, nil); err != nil {
		return err
	}
	_, err := fmt.Fprintln(r.out, "no longer paused: opted-in Ingresses are rewritten again as soon as a proxy serves them")
	return err
}

// restoreIngresses restores all that carry something of ours, and removes the
// companions: together, since a companion points at the proxy too.
func (r restorer) restoreIngresses(ctx context.Context) (done int, err error) {
	list, err := r.NetworkingV1().Ingresses(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, need{"list", "ingresses.networking.k8s.io", ""}.explain(err)
	}
	for n := range list.Items {
		did, err := r.restoreListed(ctx, &list.Items[n])
		if err != nil {
			return done, err
		}
		if did {
			done++
		}
	}
	return done, nil
}

func (r restorer) restoreListed(ctx context.Context, ingress *networkingv1.Ingress) (bool, error) {
	name := types.NamespacedName{Namespace: ingress.Namespace, Name: ingress.Name}
	if ingress.Labels[cluster.ManagedByLabel] == cluster.Manager {
		err := r.NetworkingV1().Ingresses(name.Namespace).Delete(ctx, name.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return false, need{"delete", "ingresses.networking.k8s.io", name.Namespace}.explain(err)
		}
		return true, nil
	}
	if !ingressgen.Touched(ingress) {
		return false, nil
	}
	return true, r.again(ctx, func() error {
		now, err := r.NetworkingV1().Ingresses(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return need{"get", "ingresses.networking.k8s.io", name.Namespace}.explain(err)
		}
		return r.patch(ctx, now, r.release(now))
	})
}

// removeGenerated removes our Services and EndpointSlices, but for the chart's
// Service of our own namespace.
func (r restorer) removeGenerated(ctx context.Context) (int, error) {
	services, err := r.CoreV1().Services(metav1.NamespaceAll).List(ctx, ours)
	if err != nil {
		return 0, need{"list", "services", ""}.explain(err)
	}
	slices, err := r.DiscoveryV1().EndpointSlices(metav1.NamespaceAll).List(ctx, ours)
	if err != nil {
		return 0, need{"list", "endpointslices.discovery.k8s.io", ""}.explain(err)
	}
	done := 0
	for _, s := range services.Items {
		if s.Namespace == r.namespace && s.Name == cluster.ProxyService {
			continue
		}
		if err := r.CoreV1().Services(s.Namespace).Delete(ctx, s.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return done, need{"delete", "services", s.Namespace}.explain(err)
		}
		done++
	}
	for _, s := range slices.Items {
		if s.Labels[discoveryv1.LabelManagedBy] != cluster.Manager {
			continue // the cluster's, with the labels of its Service
		}
		if err := r.DiscoveryV1().EndpointSlices(s.Namespace).Delete(ctx, s.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return done, need{"delete", "endpointslices.discovery.k8s.io", s.Namespace}.explain(err)
		}
		done++
	}
	return done, nil
}
