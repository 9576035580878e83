package restore

import (
	"context"
	"errors"
	"fmt"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
)

const nothingWritten = "nothing was written"

func newPlanner(ctx context.Context, w io.Writer, in *installation.Installation) restorer {
	r := newRestorer(ctx, w, in)
	r.plan = true
	return r
}

// PlanOne prints what One would write. The API server checks each write, so a right that
// is missing and a policy that refuses it are errors here too.
func PlanOne(ctx context.Context, w io.Writer, in *installation.Installation, name types.NamespacedName) error {
	r := newPlanner(ctx, w, in)
	if err := r.optOut(ctx, name); err != nil {
		return fmt.Errorf("%s, and would fail: restore %s: %w", nothingWritten, name, err)
	}
	if err := r.deleteCompanionOf(ctx, name); err != nil {
		return fmt.Errorf("%s, and would fail: %w", nothingWritten, err)
	}
	_, err := fmt.Fprintln(w, nothingWritten)
	return err
}

// PlanAll prints what All would write, in the order of All.
func PlanAll(ctx context.Context, w io.Writer, in *installation.Installation, by string) error {
	r := newPlanner(ctx, w, in)
	if err := r.pause(ctx, pauseReason(by)); err != nil {
		return err
	}
	done, err := r.restoreIngresses(ctx)
	deleted, deleteErr := r.deleteGenerated(ctx)
	done = done.plus(deleted)
	if err := errors.Join(err, deleteErr); err != nil {
		return fmt.Errorf("%s; %d Ingresses would be restored, but not these, and then the generated Services stay:\n%w", nothingWritten, done.restored, err)
	}
	_, err = fmt.Fprintf(w, "%s; %d Ingresses would be restored, and %d generated objects deleted\n", nothingWritten, done.restored, done.deleted)
	return err
}

// PlanResume prints what Resume would write.
func PlanResume(ctx context.Context, w io.Writer, in *installation.Installation) error {
	if err := (restorer{Installation: in, w: w, plan: true}).resume(ctx); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, nothingWritten)
	return err
}

// planned prints a write: the object, and the text that is sent.
func (r restorer) planned(verb string, o object, text []byte) error {
	_, err := fmt.Fprintf(r.w, "would %s %s %s/%s", verb, o.resource, o.namespace, o.name)
	if err == nil && len(text) > 0 {
		_, err = fmt.Fprintf(r.w, " with %s", text)
	}
	if err == nil {
		_, err = fmt.Fprintln(r.w)
	}
	return err
}

// dryRun is what a request says so that the API server writes nothing.
func (r restorer) dryRun() []string {
	if r.plan {
		return []string{metav1.DryRunAll}
	}
	return nil
}
