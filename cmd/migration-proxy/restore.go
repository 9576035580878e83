package main

import (
	"cmp"
	"context"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/cli/restore"
)

type restoreOptions struct {
	cluster     clusterOptions
	all, resume bool
	hook        bool
	dryRun      bool
	timeout     time.Duration
}

func newRestore() *cobra.Command {
	var options restoreOptions
	cmd := &cobra.Command{
		Use:   "restore NAMESPACE/INGRESS | --all | --resume",
		Short: "Give Ingresses back as their users wrote them",
		Long: `Give Ingresses back as their users wrote them: traffic goes to old again,
without the proxy. Works without webhook and watcher.

NAMESPACE/INGRESS opts that Ingress out for good (` + ingressgen.AnnotationEnabled + `:
"false") and restores it.

--all pauses the whole migration, restores every Ingress, then deletes the
generated companion Ingresses, Services and EndpointSlices, and waits until
nothing of the proxy is left. When an Ingress cannot be restored, the message
names it with the reason, the others are restored, and the Services stay. What
has opted in stays opted in, and --resume continues.

--dry-run prints each write instead, with its text. The API server checks it, so
a right that is missing, or a policy that refuses it, is an error.`,
		Example: `  migration-proxy restore shop/shop
  migration-proxy restore --all --dry-run
  migration-proxy restore --all
  migration-proxy restore --resume`,
		Args: func(_ *cobra.Command, args []string) error { return options.checkArgs(args) },
		RunE: func(cmd *cobra.Command, args []string) error { return runRestore(cmd, args, options) },
	}
	options.cluster.flags(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&options.all, "all", false, "pause everything and restore every Ingress")
	flags.BoolVar(&options.resume, "resume", false, "end the pause that --all began")
	flags.BoolVar(&options.hook, "hook", false, "with --all, as Helm's pre-delete hook: refuse when the hook was not run by helm uninstall, but applied by kubectl")
	environmentOf(flags, "hook")
	flags.BoolVar(&options.dryRun, "dry-run", false, "print what would be written and write nothing")
	flags.DurationVar(&options.timeout, "timeout", 2*time.Minute, "how long to try")
	return cmd
}

func (o *restoreOptions) checkArgs(args []string) error {
	switch {
	case len(args) > 1:
		return wrongUsage("unexpected argument %q", args[1])
	case o.hook && o.dryRun:
		return wrongUsage("--hook and --dry-run: choose one")
	case o.all && o.resume:
		return wrongUsage("--all and --resume: choose one")
	case len(args) == 1 && (o.all || o.resume):
		return wrongUsage("%q and --all or --resume: choose one", args[0])
	case len(args) == 0 && !o.all && !o.resume:
		return wrongUsage("say what to restore: NAMESPACE/INGRESS, --all or --resume")
	}
	return nil
}

func runRestore(cmd *cobra.Command, args []string, options restoreOptions) error {
	var ingress types.NamespacedName
	if len(args) == 1 {
		var err error
		if ingress, err = restore.ParseName(args[0]); err != nil {
			return usageError{err}
		}
	}
	in, err := options.cluster.installation("restore by hand what annotation " + ingressgen.AnnotationOriginal + " says")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), options.timeout)
	defer cancel()
	out := cmd.OutOrStdout()
	switch {
	case options.dryRun && options.all:
		return restore.PlanAll(ctx, out, in, cmp.Or(userName(), "somebody"))
	case options.dryRun && options.resume:
		return restore.PlanResume(ctx, out, in)
	case options.dryRun:
		return restore.PlanOne(ctx, out, in, ingress)
	case options.all && options.hook:
		if err := restore.CheckHook(ctx, in); err != nil {
			return err
		}
		return restore.All(ctx, out, in, "helm uninstall")
	case options.all:
		return restore.All(ctx, out, in, cmp.Or(userName(), "somebody"))
	case options.resume:
		return restore.Resume(ctx, out, in)
	}
	return restore.One(ctx, out, in, ingress)
}
