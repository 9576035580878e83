package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// askReplicasEvery is how often the replicas are asked whether they serve a
// change; each question goes through the API server.
const askReplicasEvery = 100 * time.Millisecond

func updateCluster(cmd *cobra.Command, goal goal, options updateOptions) error {
	found, err := options.cluster.ask("name the file to change with --local-config")
	if err != nil {
		return err
	}
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	var earlier rejections
	if !options.dryRun && !options.noWait {
		if earlier, err = found.rejections(ctx); err != nil {
			return err
		}
	}
	wanted, err := found.change(ctx, goal, options.dryRun)
	if err != nil {
		return err
	}
	switch {
	case options.dryRun:
		_, err = fmt.Fprintf(out, "%s would change, and the cluster accepts it; nothing was written\n%s", wanted, wanted.note(status.Service{}))
		return err
	case options.noWait:
		_, err = fmt.Fprintf(out, "%s, written to ConfigMap %s\n%s", wanted, found.object, wanted.note(status.Service{}))
		return err
	}
	written := time.Now()
	serving, err := found.await(ctx, &wanted, earlier, options.timeout)
	if err != nil {
		return fmt.Errorf("ConfigMap %s has the change, but it is not in force everywhere: %w", found.object, err)
	}
	_, err = fmt.Fprintf(out, "%s, in force on %s after %s\n%s", wanted, counted(len(serving), "replica"),
		time.Since(written).Round(time.Millisecond), wanted.note(found.standing(ctx, wanted.service, serving)))
	return err
}

// standing is where a service is, over the replicas that serve it. What the
// watcher says is left out when it cannot be read: the change is in force.
func (i *installation) standing(ctx context.Context, name migration.Name, serving []kube.Replica) status.Service {
	state, err := i.state(ctx)
	if err != nil {
		state = status.Cluster{}
	}
	for _, s := range services(serving, nil, state) {
		if s.Name == string(name) {
			return s.Service
		}
	}
	return status.Service{}
}

// counted is "1 replica" or "2 replicas".
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// change writes the one value. Somebody else's edit in between is read and
// kept; only when somebody else is faster again and again it gives up.
func (i *installation) change(ctx context.Context, goal goal, dryRun bool) (wanted change, err error) {
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		configMap, text, err := i.migrationConfig(ctx)
		if err != nil {
			return err
		}
		if wanted, err = goal.plan(i.object.String(), text); err != nil || bytes.Equal(wanted.before, wanted.after) {
			return err
		}
		return i.write(ctx, configMap, wanted.after, dryRun)
	})
	return wanted, err
}

// write replaces the text and nothing else, if the ConfigMap is still the one
// that was read. A dry run goes through admission as well.
func (i *installation) write(ctx context.Context, read *corev1.ConfigMap, text []byte, dryRun bool) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]string{"resourceVersion": read.ResourceVersion},
		"data":     map[string]string{names.ConfigKey: string(text)},
	})
	if err != nil {
		return fmt.Errorf("write the patch: %w", err)
	}
	options := metav1.PatchOptions{FieldManager: names.Manager}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	_, err = i.CoreV1().ConfigMaps(i.namespace).Patch(ctx, read.Name, types.MergePatchType, patch, options)
	if err != nil {
		return need{"patch", "configmaps", i.namespace}.explain(err)
	}
	return nil
}

// rejections are the configs that replicas had rejected at some moment, by pod.
type rejections map[string]*status.Rejected

func (i *installation) rejections(ctx context.Context) (rejections, error) {
	replicas, err := i.replicas(ctx)
	if err != nil {
		return nil, err
	}
	found := rejections{}
	for _, replica := range replicas {
		found[replica.Pod] = replica.Status.Config.Rejected
	}
	return found, nil
}

// await asks until every ready replica serves the change, and gives those. It
// ends early when one has rejected it, or when nothing can be learnt. What the
// newest config makes of the change is entered there.
func (i *installation) await(ctx context.Context, wanted *change, earlier rejections, timeout time.Duration) ([]kube.Replica, error) {
	waiting, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(askReplicasEvery)
	defer tick.Stop()
	last := errors.New("the replicas were not asked in time")
	for {
		serving, err := i.serving(waiting, wanted, earlier)
		switch {
		case err == nil:
			return serving, nil
		case waiting.Err() == nil:
			last = err // or it says no more than that the time is over
		}
		if errors.As(err, new(finalError)) || errors.As(err, new(missingRight)) {
			return nil, err
		}
		select {
		case <-waiting.Done():
			return nil, last
		case <-tick.C:
		}
	}
}

// serving asks once.
func (i *installation) serving(ctx context.Context, wanted *change, earlier rejections) ([]kube.Replica, error) {
	replicas, err := i.replicas(ctx)
	if err != nil {
		return nil, err
	}
	serving, why := divide(replicas, wanted.digest, earlier)
	switch {
	case len(why) > 0:
		return nil, cmp.Or(i.newest(ctx, wanted), errors.Join(why...))
	case len(serving) == 0:
		return nil, fmt.Errorf("no replica is ready; 'kubectl get pods --namespace %s' tells more", i.namespace)
	}
	return serving, nil
}

// finalError ends the waiting: the change will not be served.
type finalError struct{ error }

// divide gives the ready replicas that serve the digest, and for each of the
// others why it does not.
func divide(replicas []kube.Replica, digest string, earlier rejections) (serving []kube.Replica, why []error) {
	for _, replica := range replicas {
		own := replica.Status.Config
		switch {
		case !replica.Ready:
		case replica.Err != nil:
			why = append(why, replica.Err)
		case own.Digest == digest:
			serving = append(serving, replica)
		case isNews(own.Rejected, earlier[replica.Pod]):
			why = append(why, finalError{rejection(replica.Pod, replica.Status)})
		default:
			why = append(why, fmt.Errorf("%s still serves %s of %s", replica.Pod, own.Digest, own.Source))
		}
	}
	return serving, why
}

// newest makes the change what the newest config has of it: when somebody else
// has changed another service since, the replicas serve both changes at once,
// and never ours alone. An error says that ours is no longer there.
func (i *installation) newest(ctx context.Context, wanted *change) error {
	_, text, err := i.migrationConfig(ctx)
	if err != nil || bytes.Equal(text, wanted.after) {
		return nil // the next question may be answered
	}
	table, err := config.Load(i.object.String(), text)
	if err != nil {
		return nil // it will not be served, and the replicas say why
	}
	service := table.Service(wanted.service)
	if service == nil || !wanted.reached(*service) {
		return finalError{fmt.Errorf("somebody else has changed %s meanwhile: 'migration-proxy status' tells what is served", wanted.service)}
	}
	wanted.after, wanted.digest, wanted.is = text, table.Digest(), *service
	return nil
}
