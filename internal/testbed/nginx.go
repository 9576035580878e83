package testbed

import "os"

// Nginx is the nginx under test: the one that MIGRATION_PROXY_NGINX names, as
// the product has it, else the PATH's. Not $NGINX: to nginx itself that means
// sockets to inherit.
func Nginx() string {
	if path := os.Getenv("MIGRATION_PROXY_NGINX"); path != "" {
		return path
	}
	return "nginx"
}
