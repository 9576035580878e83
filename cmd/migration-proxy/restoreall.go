package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
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
var ours = metav1.ListOptions{LabelSelector: names.ManagedByLabel + "=" + names.Manager}

// progress is how much was done.
type progress struct{ restored, removed int }

func (t progress) plus(more progress) progress {
	return progress{t.restored + more.restored, t.removed + more.removed}
}

// all pauses, restores every Ingress and then removes what was generated, and
// looks again until nothing is left. Traffic first: a Service goes when
// nothing has pointed at it for a while, whoever saw to that, and stays when
// something still does.
func (r restorer) all(ctx context.Context) error {
	if err := r.pause(ctx, new("'restore --all' by "+cmp.Or(operator(), "somebody")+" at "+time.Now().UTC().Format(time.RFC3339))); err != nil {
		return err
	}
	done, err := r.untilNone(ctx, r.restoreIngresses)
	if err != nil {
		return fmt.Errorf("paused; %d Ingresses restored, but not these; the generated Services stay until you run it again:\n%w", done.restored, err)
	}
	generated, err := r.generated(ctx)
	if err != nil {
		return err
	}
	if len(generated) > 0 || done != (progress{}) {
		if err := wait(ctx, notice); err != nil {
			return err
		}
	}
	last, err := r.untilNone(ctx, r.removeGenerated)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(r.out, "paused; nothing of ours is left: %d Ingresses restored and %d generated objects removed by this command, "+
		"any others by a running watcher\n'migration-proxy restore --resume' goes on with the migration\n", done.restored, done.plus(last).removed)
	return err
}

// untilNone repeats a step until it does nothing more, and gives how much it
// did. The error is that of the last time: what failed once may have worked
// the next time.
func (r restorer) untilNone(ctx context.Context, step func(context.Context) (progress, error)) (total progress, err error) {
	for {
		done, err := step(ctx)
		if done == (progress{}) {
			return total, err
		}
		total = total.plus(done)
		if late := wait(ctx, settleTime); late != nil {
			return total, errors.Join(late, err)
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
	_, err = configMaps.Patch(ctx, names.StateMap, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: names.Manager})
	switch {
	case err == nil || apierrors.IsNotFound(err) && why == nil:
		return nil
	case !apierrors.IsNotFound(err):
		return need{"patch", "configmaps", r.namespace}.explain(err)
	}
	state := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: names.StateMap}, Data: map[string]string{status.PausedKey: *why}}
	if _, err := configMaps.Create(ctx, state, metav1.CreateOptions{FieldManager: names.Manager}); err != nil {
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
// companions: together, since a companion points at the proxy too. One that
// fails keeps no other from going back.
func (r restorer) restoreIngresses(ctx context.Context) (done progress, err error) {
	list, err := r.NetworkingV1().Ingresses(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return done, need{"list", ingressResource, ""}.explain(err)
	}
	var failed []error
	for n := range list.Items {
		ingress := &list.Items[n]
		did, err := r.giveBack(ctx, ingress)
		if err != nil {
			failed = append(failed, fmt.Errorf("restore %s/%s: %w", ingress.Namespace, ingress.Name, err))
		}
		if done = done.plus(did); ctx.Err() != nil {
			break
		}
	}
	return done, errors.Join(failed...)
}

func (r restorer) giveBack(ctx context.Context, ingress *networkingv1.Ingress) (done progress, err error) {
	if ingressgen.IsCompanion(ingress) {
		return r.companion(ingress).remove(ctx)
	}
	if !ingressgen.Touched(ingress) {
		return done, nil
	}
	err = r.again(ctx, func() error {
		now, err := r.NetworkingV1().Ingresses(ingress.Namespace).Get(ctx, ingress.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return need{"get", ingressResource, ingress.Namespace}.explain(err)
		}
		edited, err := r.release(ctx, now)
		if edited {
			done.restored = 1
		}
		return err
	})
	return done, err
}

// object is one that we generated.
type object struct {
	resource, namespace, name string
	delete                    func(ctx context.Context, name string, options metav1.DeleteOptions) error
}

func (o object) remove(ctx context.Context) (progress, error) {
	if err := o.delete(ctx, o.name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return progress{}, need{"delete", o.resource, o.namespace}.explain(err)
	}
	return progress{removed: 1}, nil
}

func (r restorer) companion(ingress *networkingv1.Ingress) object {
	return object{ingressResource, ingress.Namespace, ingress.Name, r.NetworkingV1().Ingresses(ingress.Namespace).Delete}
}

// generated are our Services and EndpointSlices, but for the chart's Service
// of our own namespace.
func (r restorer) generated(ctx context.Context) (all []object, err error) {
	services, err := r.CoreV1().Services(metav1.NamespaceAll).List(ctx, ours)
	if err != nil {
		return nil, need{"list", "services", ""}.explain(err)
	}
	slices, err := r.DiscoveryV1().EndpointSlices(metav1.NamespaceAll).List(ctx, ours)
	if err != nil {
		return nil, need{"list", sliceResource, ""}.explain(err)
	}
	for _, s := range services.Items {
		if s.Namespace != r.namespace || s.Name != names.ProxyService {
			all = append(all, object{"services", s.Namespace, s.Name, r.CoreV1().Services(s.Namespace).Delete})
		}
	}
	for _, s := range slices.Items {
		if s.Labels[discoveryv1.LabelManagedBy] == names.Manager { // or it is the cluster's, with the labels of its Service
			all = append(all, object{sliceResource, s.Namespace, s.Name, r.DiscoveryV1().EndpointSlices(s.Namespace).Delete})
		}
	}
	return all, nil
}

func (r restorer) removeGenerated(ctx context.Context) (done progress, err error) {
	generated, err := r.generated(ctx)
	if err != nil {
		return done, err
	}
	var failed []error
	for _, object := range generated {
		did, err := object.remove(ctx)
		if err != nil {
			failed = append(failed, err)
		}
		if done = done.plus(did); ctx.Err() != nil {
			break
		}
	}
	return done, errors.Join(failed...)
}
