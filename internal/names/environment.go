package names

import "strings"

// EnvironmentPrefix begins the names of the environment variables that set
// flags.
const EnvironmentPrefix = "MIGRATION_PROXY_"

// EnvironmentVariable is the environment variable that sets a flag: the flag
// local-config has MIGRATION_PROXY_LOCAL_CONFIG.
func EnvironmentVariable(flag string) string {
	return EnvironmentPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}
