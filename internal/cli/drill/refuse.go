package drill

import (
	"fmt"
	"strings"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

// illRatio is the part of old's failed requests from which on old is ill.
const illRatio = 0.05

// refusal is why there can be no drill now; "" if there can.
func refusal(service string, replicas []replica, phase status.ClusterService) string {
	if len(replicas) == 0 {
		return "no replica is ready"
	}
	if phase.Phase != status.Migrating {
		return strings.TrimSuffix(fmt.Sprintf("it is %s: %s", phase.Phase, phase.Reason), ": ")
	}
	share, rules := 0.0, false
	for _, one := range replicas {
		row := one.row(service)
		switch {
		case one.err != nil:
			return fmt.Sprintf("%s does not answer: %v", one.name, one.err)
		case row == nil:
			return one.name + " does not serve it yet"
		case row.Phase != status.Migrating:
			return fmt.Sprintf("in %s it is %s: %s", one.name, row.Phase, row.Reason)
		case row.Old.Unresolved != "" || len(row.Old.Addresses) == 0:
			return fmt.Sprintf("%s has no address of old, which would get all requests: %s", one.name, row.Old.Unresolved)
		case row.Old.Rate > 0 && row.Old.Failed > illRatio:
			return fmt.Sprintf("old, which would get all requests, fails %.0f %% of them", 100*row.Old.Failed)
		}
		share, rules = max(share, row.Share), rules || row.RulesToNew
	}
	if share == 0 && !rules {
		return "nothing of it goes to new, so there is nothing to rehearse"
	}
	return ""
}
