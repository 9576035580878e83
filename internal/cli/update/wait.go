package update

import (
	"fmt"
	"strings"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

// isNewRejection tells whether a config was rejected after the change was
// written: earlier is the rejection that was known before it.
func isNewRejection(now, earlier *status.Rejected) bool {
	return now != nil && (earlier == nil || !now.At.Equal(earlier.At))
}

// rejection says who rejected the config, and why.
func rejection(replica string, rejected *status.Rejected) error {
	return fmt.Errorf("%s rejected it (%s):\n%s", replica, rejected.Stage, strings.Join(rejected.Problems, "\n"))
}
