package update

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
	"github.com/migration-proxy/migration-proxy/internal/cli/waiting"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// servedByReplicas is the condition that every ready replica serves the change.
type servedByReplicas struct {
	in       *installation.Installation
	wanted   change         // followed while others edit the config, see followConfig
	earlier  rejections     // from before the change
	replicas []kube.Replica // that serve the change, once the condition holds
}

// rejections are the configs that replicas have rejected, by pod.
type rejections map[string]*status.Rejected

func rejectionsOf(replicas []kube.Replica) rejections {
	byPod := rejections{}
	for _, replica := range replicas {
		byPod[replica.Pod] = replica.Status.Config.Rejected
	}
	return byPod
}

func (s *servedByReplicas) Check(ctx context.Context) error {
	replicas, err := s.in.Replicas(ctx)
	if err != nil {
		return err
	}
	serving, missing := divide(replicas, s.wanted.digest, s.earlier)
	switch {
	case len(missing) > 0:
		return cmp.Or(s.followConfig(ctx), errors.Join(missing...))
	case len(serving) == 0:
		return fmt.Errorf("no replica is ready; 'kubectl get pods --namespace %s' tells more", s.in.Namespace)
	}
	s.replicas = serving
	return nil
}

// divide gives the ready replicas that serve the digest, and for each other
// ready replica the reason why it does not.
func divide(replicas []kube.Replica, digest string, earlier rejections) (serving []kube.Replica, missing []error) {
	for _, replica := range replicas {
		own := replica.Status.Config
		switch {
		case !replica.Ready:
		case replica.Err != nil:
			missing = append(missing, replica.Err)
		case own.Digest == digest:
			serving = append(serving, replica)
		case isNewRejection(own.Rejected, earlier[replica.Pod]):
			missing = append(missing, waiting.FinalError{Cause: rejection(replica.Pod, own.Rejected)})
		default:
			missing = append(missing, fmt.Errorf("%s still serves %s of %s", replica.Pod, own.Digest, own.Source))
		}
	}
	return serving, missing
}

// followConfig makes the newest config the one to wait for. When somebody else
// has changed another service meanwhile, the replicas go on to a config with
// both changes, and may never serve the one that this update has written. The
// error says that the newest config no longer has this change.
func (s *servedByReplicas) followConfig(ctx context.Context) error {
	now, err := s.in.Config(ctx)
	if err != nil || bytes.Equal(now.Text, s.wanted.after) {
		return nil // the next check reads again
	}
	table, err := now.Load()
	if err != nil {
		return nil // it will not be served, and the replicas report why
	}
	goal := s.wanted.goal
	service := table.Service(goal.service)
	if service == nil || !goal.reachedBy(*service) {
		return waiting.FinalError{Cause: fmt.Errorf("somebody else has changed %s meanwhile: 'migration-proxy status' tells what is served", goal.service)}
	}
	s.wanted.after, s.wanted.digest, s.wanted.is = now.Text, table.Digest(), *service
	return nil
}
