package webhook

import (
	"fmt"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

// The paths that the API server calls; deploy/chart registers them.
const (
	PathIngress = "/ingress"
	PathConfig  = "/config"
)

// NameConfig is the name of the webhook for the migration config, in error messages and
// metrics of the API server.
const NameConfig = "config." + names.Group

// User is the user name of a service account.
func User(namespace, serviceAccount string) string {
	return fmt.Sprintf("system:serviceaccount:%s:%s", namespace, serviceAccount)
}
