package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/migration"
)

type restoreOptions struct {
	cluster     clusterOptions
	all, resume bool
	timeout     time.Duration
}

func newRestore() *cobra.Command {
	var options restoreOptions
	cmd := &cobra.Command{
		Use:   "restore NAMESPACE/INGRESS | --all | --resume",
		Short: "Give Ingresses back as their users wrote them",
		Long: `Give Ingresses back as their users wrote them: traffic goes to old again,
without the proxy.

NAMESPACE/INGRESS opts that Ingress out for good (` + ingressgen.AnnotationEnabled + `:
"false") and restores it. --all pauses the whole migration, restores every
Ingress, then removes the companion Ingresses, Services and EndpointSlices that
were generated, and waits until nothing of ours is left. An Ingress that cannot
be restored is named, with the reason; the others are, and the Services stay.
What had opted in stays so, and --resume lets it go on. Works without webhook
and watcher.`,
		Example: `  migration-proxy restore shop/shop
  migration-proxy restore --all
  migration-proxy restore --resume`,
		Args: func(_ *cobra.Command, args []string) error { return options.checkArgs(args) },
		RunE: func(cmd *cobra.Command, args []string) error { return restore(cmd, args, options) },
	}
	options.cluster.flags(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&options.all, "all", false, "pause everything and restore every Ingress")
	flags.BoolVar(&options.resume, "resume", false, "end the pause that --all began")
	flags.DurationVar(&options.timeout, "timeout", 2*time.Minute, "how long to try")
	return cmd
}

func (o *restoreOptions) checkArgs(args []string) error {
	switch {
	case len(args) > 1:
		return wrongUsage("unexpected argument %q", args[1])
	case o.all && o.resume:
		return wrongUsage("--all and --resume: choose one")
	case len(args) == 1 && (o.all || o.resume):
		return wrongUsage("%q and --all or --resume: choose one", args[0])
	case len(args) == 0 && !o.all && !o.resume:
		return wrongUsage("say what to restore: NAMESPACE/INGRESS, --all or --resume")
	}
	return nil
}

func restore(cmd *cobra.Command, args []string, options restoreOptions) error {
	var ingress types.NamespacedName
	if len(args) == 1 {
		var ok bool
		if ingress.Namespace, ingress.Name, ok = strings.Cut(args[0], "/"); !ok || ingress.Namespace == "" || ingress.Name == "" {
			return wrongUsage("%q: write NAMESPACE/INGRESS", args[0])
		}
	}
	found, err := options.cluster.ask("restore by hand what annotation " + ingressgen.AnnotationOriginal + " says")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), options.timeout)
	defer cancel()
	r := restorer{found, ingressgen.View{Table: found.lastTable(ctx)}, cmd.OutOrStdout()}
	switch {
	case options.all:
		return r.all(ctx)
	case options.resume:
		return r.resume(ctx)
	}
	return r.one(ctx, ingress)
}

// What the API server calls what is restored and removed.
const (
	ingressResource = "ingresses.networking.k8s.io"
	sliceResource   = "endpointslices.discovery.k8s.io"
)

// restorer undoes what webhook and watcher did.
type restorer struct {
	*installation
	view ingressgen.View // what is known, for Ingresses that lost annotation original
	out  io.Writer
}

// lastTable is that of the config as it is, or as it was when it last was
// valid; nil when neither can be read: nearly every Ingress says itself what
// it was.
func (i *installation) lastTable(ctx context.Context) *migration.Table {
	if _, text, err := i.migrationConfig(ctx); err == nil {
		if table, err := config.Load(i.object.String(), text); err == nil {
			return table
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	name, text, err := kube.LastGood(ctx, i.Interface, i.namespace)
	if err != nil {
		return nil
	}
	table, err := config.Load(name, text)
	if err != nil {
		return nil
	}
	return table
}

// mostTries is how often an Ingress that is being edited is tried again.
const mostTries = 5

// one opts an Ingress out and restores it.
func (r restorer) one(ctx context.Context, name types.NamespacedName) error {
	err := r.again(ctx, func() error {
		ingress, err := r.NetworkingV1().Ingresses(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
		if err != nil {
			return need{"get", ingressResource, name.Namespace}.explain(err)
		}
		if !ingressgen.OptedIn(ingress) && !ingressgen.Touched(ingress) {
			_, err := fmt.Fprintf(r.out, "%s has not opted in and has nothing of ours; nothing to restore\n", name)
			return err
		}
		optOut := ingressgen.SetAnnotation(ingress, ingressgen.AnnotationEnabled, "false") // or it would be rewritten
		if _, err := r.release(ctx, ingress, optOut...); err != nil {
			return err
		}
		_, err = fmt.Fprintf(r.out, "%s is as its user wrote it, and opted out\n", name)
		return err
	})
	if err != nil {
		return fmt.Errorf("restore %s: %w", name, err)
	}
	return r.removeCompanion(ctx, name)
}

// release undoes what is ours in the Ingress, after edits of the caller's, and
// tells whether there was anything to edit. When something of ours is left, the
// error says what and why.
func (r restorer) release(ctx context.Context, ingress *networkingv1.Ingress, first ...ingressgen.Edit) (edited bool, err error) {
	report := ingressgen.Release(ingress, r.view)
	edits := append(first, report.Edits...)
	after, err := r.patch(ctx, ingress, edits)
	if err != nil {
		return false, err
	}
	says := strings.Join(report.Warnings, "; ")
	if ingressgen.Touched(after) {
		return len(edits) > 0, fmt.Errorf("something of ours is left in it: %s", cmp.Or(says, "it was rewritten again at once"))
	}
	if says != "" {
		fmt.Fprintf(r.out, "%s/%s: %s\n", ingress.Namespace, ingress.Name, says)
	}
	return len(edits) > 0, nil
}

// patch sends edits that hold for this version of the Ingress alone, and gives
// what it became.
func (r restorer) patch(ctx context.Context, ingress *networkingv1.Ingress, edits []ingressgen.Edit) (*networkingv1.Ingress, error) {
	if len(edits) == 0 {
		return ingress, nil
	}
	text, err := json.Marshal(ingressgen.WithPreconditions(ingress, edits))
	if err != nil {
		return nil, fmt.Errorf("write the patch: %w", err)
	}
	after, err := r.NetworkingV1().Ingresses(ingress.Namespace).Patch(ctx, ingress.Name, types.JSONPatchType, text,
		metav1.PatchOptions{FieldManager: names.Manager})
	switch {
	case apierrors.IsNotFound(err):
		return &networkingv1.Ingress{}, nil // deleted meanwhile: nothing is left to restore
	case err != nil:
		return nil, need{"patch", ingressResource, ingress.Namespace}.explain(err)
	}
	return after, nil
}

// again repeats what failed because somebody else was editing: a guard did
// not hold, which the API server calls Invalid.
func (r restorer) again(ctx context.Context, try func() error) error {
	for attempt := 1; ; attempt++ {
		err := try()
		if err == nil || attempt == mostTries || !apierrors.IsInvalid(err) && !apierrors.IsConflict(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Duration(attempt) * 100 * time.Millisecond):
		}
	}
}

// removeCompanion removes the canary Ingress that belongs to another; one of
// that name that is not ours stays.
func (r restorer) removeCompanion(ctx context.Context, of types.NamespacedName) error {
	companion, err := r.NetworkingV1().Ingresses(of.Namespace).Get(ctx, ingressgen.CompanionName(of.Name), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return need{"get", ingressResource, of.Namespace}.explain(err)
	case !ingressgen.IsCompanion(companion):
		return nil
	}
	_, err = r.companion(companion).remove(ctx)
	return err
}
