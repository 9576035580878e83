package restore

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// editBackoff is how an Ingress is tried again that somebody else edits at the
// same time: five times within two seconds.
var editBackoff = wait.Backoff{Steps: 5, Duration: 100 * time.Millisecond, Factor: 2}

// ParseName reads NAMESPACE/NAME.
func ParseName(text string) (types.NamespacedName, error) {
	namespace, name, ok := strings.Cut(text, "/")
	if !ok || namespace == "" || name == "" {
		return types.NamespacedName{}, fmt.Errorf("%q: write NAMESPACE/INGRESS", text)
	}
	return types.NamespacedName{Namespace: namespace, Name: name}, nil
}

// restorer undoes in one cluster what webhook and watcher did.
type restorer struct {
	*installation.Installation
	view ingressgen.View // for Ingresses that have lost annotation original
	w    io.Writer
	plan bool // the API server checks every write and makes none; w gets them
}

func newRestorer(ctx context.Context, w io.Writer, in *installation.Installation) restorer {
	return restorer{Installation: in, view: ingressgen.View{Table: in.LastValidTable(ctx)}, w: w}
}

// One opts an Ingress out, restores it and deletes its companion.
func One(ctx context.Context, w io.Writer, in *installation.Installation, name types.NamespacedName) error {
	r := newRestorer(ctx, w, in)
	err := retry.OnError(editBackoff, isEditedMeanwhile, func() error { return r.optOut(ctx, name) })
	if err != nil {
		return fmt.Errorf("restore %s: %w", name, err)
	}
	return r.deleteCompanionOf(ctx, name)
}

// isEditedMeanwhile tells whether a patch failed because somebody else edited
// the object after it was read. The API server calls a failed test of a JSON
// patch Invalid.
func isEditedMeanwhile(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsConflict(err)
}

// optOut restores the Ingress and sets its annotation enabled to false:
// otherwise the webhook would rewrite it again.
func (r restorer) optOut(ctx context.Context, name types.NamespacedName) error {
	ingress, err := r.NetworkingV1().Ingresses(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	if err != nil {
		return installation.Right{Verb: "get", Resource: installation.Ingresses, Namespace: name.Namespace}.Explain(err)
	}
	if !ingressgen.OptedIn(ingress) && !ingressgen.Touched(ingress) {
		_, err := fmt.Fprintf(r.w, "%s has not opted in and has nothing of the proxy; nothing to restore\n", name)
		return err
	}
	if _, err := r.release(ctx, ingress, ingressgen.SetAnnotation(ingress, ingressgen.AnnotationEnabled, "false")); err != nil || r.plan {
		return err
	}
	_, err = fmt.Fprintf(r.w, "%s is as its user wrote it, and opted out\n", name)
	return err
}

// release makes the edits and then restores the Ingress; edited tells whether
// there was anything to edit. The error says what of the migration proxy is
// left in the Ingress, and why.
func (r restorer) release(ctx context.Context, ingress *networkingv1.Ingress, edits []ingressgen.Edit) (edited bool, err error) {
	report := ingressgen.Release(ingress, r.view)
	edits = append(edits, report.Edits...)
	after, err := r.patch(ctx, ingress, edits)
	if err != nil {
		return false, err
	}
	warnings := strings.Join(report.Warnings, "; ")
	if ingressgen.Touched(after) {
		return len(edits) > 0, &leftoverError{cmp.Or(warnings, "it was rewritten again at once"), pointedByHand(ingress, after)}
	}
	if warnings != "" {
		fmt.Fprintf(r.w, "%s/%s: %s\n", ingress.Namespace, ingress.Name, warnings)
	}
	return len(edits) > 0, nil
}

// leftoverError says that an Ingress still has something of the migration proxy.
type leftoverError struct {
	why    string
	byHand bool // nothing says that the migration proxy wrote it
}

func (e *leftoverError) Error() string { return "something of ours is left in it: " + e.why }

// pointedByHand tells whether an Ingress has only the name of a proxy Service left: it has
// not opted in, and has none of the annotations that the migration proxy writes.
func pointedByHand(before, after *networkingv1.Ingress) bool {
	return !ingressgen.OptedIn(before) && !ingressgen.Recorded(before) && !ingressgen.Recorded(after)
}

// patch makes edits that are valid for this version of the Ingress only, and
// gives the Ingress after them: an empty one if it has been deleted meanwhile.
func (r restorer) patch(ctx context.Context, ingress *networkingv1.Ingress, edits []ingressgen.Edit) (*networkingv1.Ingress, error) {
	if len(edits) == 0 {
		return ingress, nil
	}
	text, err := json.Marshal(ingressgen.WithPreconditions(ingress, edits))
	if err != nil {
		return nil, fmt.Errorf("encode the patch: %w", err)
	}
	after, err := r.NetworkingV1().Ingresses(ingress.Namespace).Patch(ctx, ingress.Name, types.JSONPatchType, text,
		metav1.PatchOptions{FieldManager: names.Manager, DryRun: r.dryRun()})
	switch {
	case apierrors.IsNotFound(err):
		return &networkingv1.Ingress{}, nil
	case err == nil && r.plan: // the webhook rewrites it again here, because nothing is paused
		return &networkingv1.Ingress{}, r.planned("patch", object{installation.Ingresses, ingress.Namespace, ingress.Name}, text)
	case err != nil:
		return nil, installation.Right{Verb: "patch", Resource: installation.Ingresses, Namespace: ingress.Namespace}.Explain(err)
	}
	return after, nil
}

// deleteCompanionOf deletes the canary Ingress of another. A user's Ingress
// that only has the same name stays.
func (r restorer) deleteCompanionOf(ctx context.Context, name types.NamespacedName) error {
	companion, err := r.NetworkingV1().Ingresses(name.Namespace).Get(ctx, ingressgen.CompanionName(name.Name), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return installation.Right{Verb: "get", Resource: installation.Ingresses, Namespace: name.Namespace}.Explain(err)
	case !ingressgen.IsCompanion(companion):
		return nil
	}
	return r.delete(ctx, object{installation.Ingresses, companion.Namespace, companion.Name})
}
