package clusterramp

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/watcher/apiwrite"
)

// Store is ConfigMap migration-ramp. Each write names the version that it changes,
// so that a watcher which has lost the lease and does not know it yet is refused.
type Store struct {
	source kube.NamedConfigMap
	writes apiwrite.Counter

	mu     sync.Mutex
	known  bool              // the API server has answered once
	latest *corev1.ConfigMap // nil: it does not exist
}

// NewStore makes a Store, which knows nothing before Follow runs.
func NewStore(source kube.NamedConfigMap, writes apiwrite.Counter) *Store {
	return &Store{source: source, writes: writes}
}

// String is the name of the ConfigMap.
func (s *Store) String() string { return s.source.String() }

// take notes a version that the API server returned.
func (s *Store) take(version *corev1.ConfigMap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = true
	if version == nil || s.latest == nil || !kube.Older(version, s.latest) {
		s.latest = version
	}
}

func (s *Store) get() (version *corev1.ConfigMap, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.latest, s.known
}

// Drills are the newest drills of all services.
func (s *Store) Drills() (map[string]status.Drill, error) {
	version, _ := s.get()
	if version == nil {
		return nil, nil
	}
	found, err := status.ParseDrills(version.Data)
	return found.Services, err
}

// Follow takes the versions in until ctx ends.
func (s *Store) Follow(ctx context.Context) {
	_ = s.source.Follow(ctx, s.take) // it ends with ctx, without an error
}

// write replaces the watcher's keys.
func (s *Store) write(ctx context.Context, positions, machine string) error {
	version, _ := s.get()
	ctx, cancel := apiwrite.WithTimeout(ctx)
	defer cancel()
	after, err := s.source.Put(ctx, version, map[string]string{status.PositionsKey: positions, status.MachineKey: machine})
	if s.writes.Count("ConfigMap", err) != nil {
		if apierrors.IsNotFound(err) {
			s.take(nil) // the watch says so later
		}
		return err
	}
	s.take(after)
	return nil
}
