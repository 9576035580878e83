package journal

import "github.com/migration-proxy/migration-proxy/internal/status"

// EvidenceOf is what a row of the status says. Its counts are of requests that the
// percentage decided, since the share last changed; failures are ratios of the last
// minute.
func EvidenceOf(row status.Service) *Evidence {
	return &Evidence{
		Since: row.Split.Since,
		Old:   Side{Requests: row.Split.Requests - min(row.Split.New, row.Split.Requests), FailedRatio: row.Old.Failed, P99: row.Old.P99},
		New:   Side{Requests: row.Split.New, FailedRatio: row.New.Failed, P99: row.New.P99},
	}
}
