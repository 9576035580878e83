package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
	"github.com/migration-proxy/migration-proxy/internal/pause"
)

// controllerDelay is how long ingress controllers have to follow the restored
// Ingresses before the anchors and the Services that these pointed at are
// deleted: ingress-nginx looks for changes once in 3.3 s, and a big config
// takes seconds to load. Tests wait less.
var controllerDelay = 10 * time.Second

// pauseDelay is how long a step waits before it looks for more to do: a
// webhook that has not seen the pause yet may rewrite an Ingress once more.
const pauseDelay = 500 * time.Millisecond

// progress counts what was done.
type progress struct{ restored, deleted int }

func (p progress) plus(more progress) progress {
	return progress{p.restored + more.restored, p.deleted + more.deleted}
}

// All pauses the migration, restores every Ingress of the cluster, deletes what
// was generated, and looks again until nothing is left. By is the user, for the
// reason of the pause. Traffic comes first: Services are deleted when nothing
// has pointed at them for a while, and stay when an Ingress cannot be restored.
func All(ctx context.Context, w io.Writer, in *installation.Installation, by string) error {
	r := newRestorer(ctx, w, in)
	if err := r.pause(ctx, pauseReason(by)); err != nil {
		return err
	}
	done, err := untilDone(ctx, r.restoreIngresses)
	if err != nil {
		return fmt.Errorf("paused; %d Ingresses restored, but not these; the generated Services stay until you run it again:\n%w", done.restored, err)
	}
	generated, err := r.generated(ctx)
	if err != nil {
		return err
	}
	if len(generated) > 0 || done != (progress{}) {
		if err := sleep(ctx, controllerDelay); err != nil {
			return err
		}
	}
	deleted, err := untilDone(ctx, r.deleteGenerated)
	if err != nil {
		return err
	}
	done = done.plus(deleted)
	_, err = fmt.Fprintf(w, "paused; nothing of the proxy is left: %d Ingresses restored and %d generated objects removed by this command, "+
		"any others by a running watcher\n'migration-proxy restore --resume' goes on with the migration\n", done.restored, done.deleted)
	return err
}

func pauseReason(by string) string {
	return "'restore --all' by " + by + " at " + time.Now().UTC().Format(time.RFC3339)
}

// untilDone repeats a step until it does nothing more, and adds up what it did.
// The error is that of the last time: what failed before may work the next
// time.
func untilDone(ctx context.Context, step func(context.Context) (progress, error)) (total progress, err error) {
	for {
		done, err := step(ctx)
		if done == (progress{}) {
			return total, err
		}
		total = total.plus(done)
		if timeout := sleep(ctx, pauseDelay); timeout != nil {
			return total, errors.Join(timeout, err)
		}
	}
}

func sleep(ctx context.Context, length time.Duration) error {
	if pause.For(ctx, length) {
		return nil
	}
	return fmt.Errorf("not everything could be restored in time, run it again: %w", ctx.Err())
}

// restoreIngresses restores every Ingress that the migration proxy has changed,
// and deletes the companions, which point at the proxy too. When one fails, the
// others are restored all the same.
func (r restorer) restoreIngresses(ctx context.Context) (done progress, err error) {
	list, err := r.NetworkingV1().Ingresses(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return done, installation.Right{Verb: "list", Resource: installation.Ingresses}.Explain(err)
	}
	var failed []error
	for i := range list.Items {
		ingress := &list.Items[i]
		own, err := r.restoreOrDelete(ctx, ingress)
		if err != nil {
			failed = append(failed, fmt.Errorf("restore %s/%s: %w", ingress.Namespace, ingress.Name, err))
		}
		if done = done.plus(own); ctx.Err() != nil {
			break
		}
	}
	return done, errors.Join(failed...)
}

// restoreOrDelete deletes a companion and restores any other Ingress.
func (r restorer) restoreOrDelete(ctx context.Context, ingress *networkingv1.Ingress) (done progress, err error) {
	switch {
	case ingressgen.IsCompanion(ingress):
		if err := r.delete(ctx, object{installation.Ingresses, ingress.Namespace, ingress.Name}); err != nil {
			return progress{}, err
		}
		return progress{deleted: 1}, nil
	case ingressgen.IsAnchor(ingress) || !ingressgen.Touched(ingress):
		return progress{}, nil
	}
	err = retry.OnError(editBackoff, isEditedMeanwhile, func() error {
		edited, err := r.restoreNewest(ctx, ingress.Namespace, ingress.Name)
		if edited {
			done.restored = 1
		}
		return err
	})
	return done, err
}

// restoreNewest reads an Ingress and restores it, if it still exists.
func (r restorer) restoreNewest(ctx context.Context, namespace, name string) (edited bool, err error) {
	newest, err := r.NetworkingV1().Ingresses(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, installation.Right{Verb: "get", Resource: installation.Ingresses, Namespace: namespace}.Explain(err)
	}
	edited, err = r.release(ctx, newest, nil)
	var left *leftoverError
	if errors.As(err, &left) && left.byHand { // an edit of an Ingress must not prevent an uninstall
		_, err = fmt.Fprintf(r.w, "%s/%s: %s; it is left as it is\n", namespace, name, left.why)
	}
	return edited, err
}
