package reconcile

import (
	"fmt"
	"maps"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

// foreignError says that an object that somebody else made has the name of an
// object that the migration proxy must make.
type foreignError struct{ kind, namespace, name string }

// Error names the object, and says what to do.
func (e *foreignError) Error() string {
	return fmt.Sprintf("%s %s/%s exists and is not the migration proxy's (it lacks label %s=%s): it is left alone, "+
		"and the Ingress stays as it is; rename it", e.kind, e.namespace, e.name, names.ManagedByLabel, names.Manager)
}

// overlay returns what is found with what is wanted over it. Labels of others
// stay: a cluster's tools write theirs on every object, and would write them
// again.
func overlay(found, wanted map[string]string) map[string]string {
	merged := map[string]string{}
	maps.Copy(merged, found)
	maps.Copy(merged, wanted)
	return merged
}
