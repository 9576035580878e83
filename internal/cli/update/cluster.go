package update

import (
	"context"
	"fmt"
	"io"
	"time"

	"k8s.io/client-go/util/retry"

	"github.com/migration-proxy/migration-proxy/internal/cli/clusterstatus"
	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
	"github.com/migration-proxy/migration-proxy/internal/cli/waiting"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// replicasInterval is how often the replicas are asked whether they serve the
// change. Each request goes through the API server.
const replicasInterval = 100 * time.Millisecond

// InCluster changes the ConfigMap, and waits until every ready replica serves
// the change.
func InCluster(ctx context.Context, w io.Writer, goal Goal, in *installation.Installation, options Options) error {
	served, deviation := servedByReplicas{in: in}, ""
	if options.waits() {
		replicas, err := in.Replicas(ctx)
		if err != nil {
			return err
		}
		served.earlier = rejectionsOf(replicas)
		deviation = deviationNote(clusterstatus.ServiceRow(replicas, status.Cluster{}, goal.service), time.Now())
	}
	planned, err := writeConfigMap(ctx, in, goal, options.DryRun)
	if err != nil {
		return err
	}
	switch {
	case options.DryRun:
		_, err = fmt.Fprintf(w, "%s would change, and the cluster accepts it; nothing was written\n%s", planned, planned.note(status.Service{}))
		return err
	case options.NoWait:
		_, err = fmt.Fprintf(w, "%s, written to ConfigMap %s\n%s", planned, in.ConfigName(), planned.note(status.Service{}))
		return err
	}
	written := time.Now()
	served.wanted = planned
	if err := waiting.Until(ctx, &served, waiting.Pace{Interval: replicasInterval, Timeout: options.Timeout}); err != nil {
		return fmt.Errorf("ConfigMap %s has the change, but it is not in force everywhere: %w", in.ConfigName(), err)
	}
	now := serviceStatus(ctx, in, goal.service, served.replicas)
	_, err = fmt.Fprintf(w, "%s, in force on %s after %s\n%s%s", served.wanted, countReplicas(served.replicas),
		time.Since(written).Round(time.Millisecond), served.wanted.note(now), deviation)
	return err
}

func countReplicas(replicas []kube.Replica) string {
	if len(replicas) == 1 {
		return "1 replica"
	}
	return fmt.Sprintf("%d replicas", len(replicas))
}

// serviceStatus is the status of a service over the replicas that serve it. The
// watcher's state is left out when it cannot be read: the change is in force
// without it.
func serviceStatus(ctx context.Context, in *installation.Installation, name migration.Name, serving []kube.Replica) status.Service {
	state, err := in.State(ctx)
	if err != nil {
		state = status.Cluster{}
	}
	return clusterstatus.ServiceRow(serving, state, name)
}

// writeConfigMap changes the one value in the ConfigMap. When somebody else
// edits the ConfigMap between reading and writing, it reads again, so that both
// edits are kept; after five attempts it gives up.
func writeConfigMap(ctx context.Context, in *installation.Installation, goal Goal, dryRun bool) (planned change, err error) {
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		now, err := in.Config(ctx)
		if err != nil {
			return err
		}
		if planned, err = plan(goal, now.Name, now.Text); err != nil || planned.isDone() {
			return err
		}
		return in.Patch(ctx, installation.Key{ConfigMap: names.ConfigMap, ResourceVersion: now.ResourceVersion, Name: names.ConfigKey}, string(planned.after), dryRun)
	})
	return planned, err
}
