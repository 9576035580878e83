package main

import (
	"bytes"
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

	"github.com/migration-proxy/migration-proxy/cluster"
	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/status"
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
		_, err = fmt.Fprintf(out, "%s would change, and the cluster accepts it; nothing was written\n", wanted)
		return err
	case options.noWait:
		_, err = fmt.Fprintf(out, "%s, written to ConfigMap %s\n", wanted, found.object)
		return err
	}
	written := time.Now()
	served, err := found.await(ctx, wanted, earlier, options.timeout)
	if err != nil {
		return fmt.Errorf("ConfigMap %s has the change, but it is not in force everywhere: %w", found.object, err)
	}
	_, err = fmt.Fprintf(out, "%s, in force on %s after %s\n", wanted, counted(served, "replica"), time.Since(written).Round(time.Millisecond))
	return err
}

// counted is "1 replica" or "2 replicas".
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// change writes the one number. Somebody else's edit in between is read and
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
		"data":     map[string]string{cluster.ConfigKey: string(text)},
	})
	if err != nil {
		return fmt.Errorf("write the patch: %w", err)
	}
	options := metav1.PatchOptions{FieldManager: cluster.Manager}
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

// await asks until every ready replica serves the change, and gives their
// number. It ends early when one has rejected it.
func (i *installation) await(ctx context.Context, wanted change, earlier rejections, timeout time.Duration) (int, error) {
	waiting, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(askReplicasEvery)
	defer tick.Stop()
	last := errors.New("the replicas were not asked in time")
	for {
		replicas, err := i.replicas(waiting)
		switch {
		case err != nil && waiting.Err() == nil:
			return 0, err
		case err == nil:
			served, why := stragglers(replicas, wanted.digest, earlier)
			if len(why) == 0 && served > 0 {
				return served, nil
			}
			if last = errors.Join(why...); errors.As(last, new(rejectedError)) {
				return served, last
			}
			if len(why) == 0 {
				last = fmt.Errorf("no replica is ready; 'kubectl get pods --namespace %s' tells more", i.namespace)
			}
			if wanted, err = i.newest(waiting, wanted); err != nil {
				return served, err
			}
		}
		select {
		case <-waiting.Done():
			return 0, last
		case <-tick.C:
		}
	}
}

// rejectedError ends the waiting: that replica will not serve the config.
type rejectedError struct{ error }

// stragglers are the ready replicas that do not serve the digest, each with
// the reason, and the number of those that do.
func stragglers(replicas []cluster.Replica, digest string, earlier rejections) (served int, why []error) {
	for _, replica := range replicas {
		own := replica.Status.Config
		switch {
		case !replica.Ready:
		case replica.Err != nil:
			why = append(why, replica.Err)
		case own.Digest == digest:
			served++
		case isNews(own.Rejected, earlier[replica.Pod]):
			why = append(why, rejectedError{rejection(replica.Pod, replica.Status)})
		default:
			why = append(why, fmt.Errorf("%s still serves %s of %s", replica.Pod, own.Digest, own.Source))
		}
	}
	return served, why
}

// newest is the change as the newest config has it: when somebody else has
// changed another service since, the replicas serve both changes at once, and
// never ours alone. An error says that ours is no longer there.
func (i *installation) newest(ctx context.Context, wanted change) (change, error) {
	_, text, err := i.migrationConfig(ctx)
	if err != nil || bytes.Equal(text, wanted.after) {
		return wanted, nil // the next question may be answered
	}
	table, err := config.Load(i.object.String(), text)
	if err != nil {
		return wanted, nil // it will not be served, and the replicas say why
	}
	if service := table.Service(wanted.service); service == nil || service.Share != wanted.share {
		return wanted, fmt.Errorf("somebody else has changed %s meanwhile: 'migration-proxy status' tells what is served", wanted.service)
	}
	wanted.after, wanted.digest = text, table.Digest()
	return wanted, nil
}
