package pageserver

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/page"
	"github.com/migration-proxy/migration-proxy/migration"
)

// Source is where the states come from. Its functions are called while somebody looks,
// Snapshot and Detail by one goroutine at a time.
type Source interface {
	// Snapshot reads the state as it is now.
	Snapshot(context.Context) (page.Snapshot, error)
	// Detail reads the rest about a service of the Snapshot; notes say what is missing.
	Detail(context.Context, *page.Service) page.Detail
	// Table is the config in force, for explain.
	Table(context.Context) (*migration.Table, error)
}

// Options say what is served.
type Options struct {
	Source Source
	Place  string // whose state it is, for the page without one
	// Interval is the time between two states; a reading is shared for as long.
	Interval time.Duration
	// DetailInterval is the same for details, which change seldom and cost more.
	DetailInterval time.Duration
	// Allow tells whether a Host header, without a port, is this server's own.
	Allow func(host string) bool
}

// Server is the handler.
type Server struct {
	options   Options
	snapshots *snapshots
	details   *details
	streams   chan struct{} // a place for each
	mux       *http.ServeMux
}

const (
	// maxStreams is how many pages are kept up to date at the same time.
	maxStreams = 16
	// readTimeout bounds one reading of the source.
	readTimeout = 20 * time.Second
)

// New makes the handler for "/" and for what is below "/ui/".
func New(options Options) *Server {
	s := &Server{
		options: options, snapshots: &snapshots{source: options.Source, interval: options.Interval},
		details: &details{source: options.Source, interval: options.DetailInterval, known: map[string]detail{}},
		streams: make(chan struct{}, maxStreams), mux: http.NewServeMux(),
	}
	s.mux.HandleFunc("/{$}", s.servePage)
	s.mux.HandleFunc("/ui/events", s.serveEvents)
	s.mux.HandleFunc("/ui/explain", s.serveExplain)
	s.mux.Handle("/ui/app.css", file("text/css; charset=utf-8", page.Style()))
	s.mux.Handle("/ui/app.js", file("text/javascript; charset=utf-8", page.Script()))
	return s
}

// policy lets the page load only what this server has, and nobody frame it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, value := range map[string]string{
		"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		"Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin", "Cache-Control": "no-store",
	} {
		w.Header().Set(name, value)
	}
	if !s.options.Allow(hostname(r.Host)) {
		http.Error(w, "this page answers to its own address only: open it by IP address or as localhost", http.StatusMisdirectedRequest)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "nothing here can be changed: use GET or HEAD", http.StatusMethodNotAllowed)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// OwnAddress is for Options.Allow: an IP address, or localhost. A foreign website cannot
// have such a name.
func OwnAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil || strings.EqualFold(host, "localhost")
}

// hostname is a Host header without port and brackets.
func hostname(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

func file(kind string, text []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(text)
	})
}
