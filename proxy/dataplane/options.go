package dataplane

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/listen"
	"github.com/migration-proxy/migration-proxy/proxy/configsync"
	"github.com/migration-proxy/migration-proxy/proxy/positions"
)

// MaxRuntimeDir is the maximum length of the runtime directory's path in bytes.
// The kernel takes 107 bytes for the path of a unix socket in it.
const MaxRuntimeDir = 90

// The values of Options.AccessLog that are not files.
const (
	AccessLogStdout = "-"
	AccessLogOff    = "off"
)

// Options are the parts of a data plane that the command line chooses. All but
// Positions, Ramps and BehindControllers are required.
type Options struct {
	Source     configsync.Source
	Positions  positions.Source // of the ramps; nil: this process decides them
	Listen     listen.Address   // traffic that the migration config decides
	ListenNew  listen.Address   // traffic that always goes to new
	ListenGRPC listen.Address   // HTTP/2 of the services with protocol grpc
	HTTP       listen.Address   // the HTTP API
	RuntimeDir string           // absolute, at most MaxRuntimeDir bytes
	Nginx      string           // path or name of the binary
	Workers    int              // nginx worker processes
	Ramps      time.Duration    // between two steps of the ramps of this process; 0: the default
	Drain      time.Duration    // how long the ports stay open after SIGTERM
	AccessLog  string           // a file, AccessLogStdout or AccessLogOff
	JSONLog    bool             // the access log is JSON
	Memory     int64            // bytes that the container may have; 0: no limit
	Version    string           // of this program, for the status
	Log        *slog.Logger
	// BehindControllers is that of nginxgen.Params.
	BehindControllers bool
}

// DefaultRuntimeDir is /run/migration-proxy for root, and otherwise a directory
// below $XDG_RUNTIME_DIR or the temporary directory.
func DefaultRuntimeDir() string {
	const name = "migration-proxy"
	if os.Geteuid() == 0 {
		return filepath.Join("/run", name)
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, name)
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("%s-%d", name, os.Geteuid()))
}
