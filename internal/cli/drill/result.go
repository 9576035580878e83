package drill

import (
	"fmt"
	"time"
)

// result is what a drill measured.
type result struct {
	toOld     time.Duration // from the order until no replica sent anything to new
	back      time.Duration // from the end until all replicas had the share again
	toNew     uint64        // requests that were decided for new in between; should be 0
	meanwhile totals
}

// totals are answers to clients.
type totals struct{ requests, errors uint64 }

func add(service string, replicas []replica) totals {
	var sum totals
	for _, one := range replicas {
		if row := one.row(service); row != nil {
			sum.requests, sum.errors = sum.requests+row.Requests, sum.errors+row.ServerErrors
		}
	}
	return sum
}

// minus is the difference; 0 when a replica has started again.
func (t totals) minus(before totals) totals {
	return totals{t.requests - min(t.requests, before.requests), t.errors - min(t.errors, before.errors)}
}

// requestsToNew counts what was decided for new since the drill is in force.
func requestsToNew(service string, replicas []replica) uint64 {
	var sum uint64
	for _, one := range replicas {
		if row := one.row(service); row != nil && row.InDrill() {
			sum += row.Split.New
		}
	}
	return sum
}

// String is the result in words.
func (r result) String() string {
	return fmt.Sprintf("new got its last request within %s, and the share was back within %s; %d requests came through the proxy meanwhile, %d were lost (5xx), %d went to new",
		r.toOld.Round(time.Millisecond), max(r.back, 0).Round(time.Millisecond), r.meanwhile.requests, r.meanwhile.errors, r.toNew)
}
