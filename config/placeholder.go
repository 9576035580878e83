package config

import (
	"strings"

	"github.com/migration-proxy/migration-proxy/migration"
)

// checkPlaceholder refuses what the command scan writes for what it cannot know. It
// would be a name that leads nowhere.
func checkPlaceholder(v locatedService) {
	const wayOut = "is what 'migration-proxy scan' writes for what it cannot know; write the "
	placeholder := strings.ToLower(migration.Placeholder)
	if string(v.NewHost) == placeholder {
		v.problem([]string{"new_host"}, migration.Placeholder+" "+wayOut+"host by which the new cluster serves this application")
	}
	if v.NewBackend.Host == placeholder {
		v.problem([]string{"new_backend"}, migration.Placeholder+" "+wayOut+"host and port of the new cluster, such as those of its load balancer")
	}
	if v.OldBackend.Host == placeholder {
		v.problem([]string{"old_backend"}, migration.Placeholder+" "+wayOut+"old Service and its port")
	}
}
