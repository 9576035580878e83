package positions

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// ConfigMap is the positions in ConfigMap migration-ramp.
type ConfigMap struct{ Object kube.NamedConfigMap }

// Run implements Source. While the API server is away, or the ConfigMap does not exist,
// there is no new version.
func (c ConfigMap) Run(ctx context.Context, receive func(status.Positions, error)) error {
	return c.Object.Follow(ctx, func(version *corev1.ConfigMap) {
		if version == nil {
			receive(status.Positions{}, nil)
			return
		}
		receive(status.ParsePositions(version.Data))
	})
}
