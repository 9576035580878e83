package accesslog

import (
	"bytes"

	"github.com/migration-proxy/migration-proxy/migration"
)

// Cached is what nginx's cache did with a request.
type Cached struct {
	Result string         // "hit", "miss" and so on; "" for a request that could not be cached
	Side   migration.Side // whose answers were looked through
}

// cacheResults are the values of $upstream_cache_status. answers tells that the cache may
// answer without asking a side.
var cacheResults = []struct {
	logged, result string
	answers        bool
}{
	{"HIT", "hit", true}, {"STALE", "stale", true}, {"UPDATING", "updating", true},
	{"MISS", "miss", false}, {"EXPIRED", "expired", false}, {"REVALIDATED", "revalidated", false},
	{"BYPASS", "bypass", false}, {"SCARCE", "scarce", false},
}

// readCache reads "new_backend HIT".
func (e *Event) readCache(text []byte) {
	backend, status, _ := bytes.Cut(text, []byte(" "))
	side, err := answered(backend)
	for _, known := range cacheResults {
		if err == nil && string(status) == known.logged {
			e.Cached = Cached{known.result, side}
		}
	}
}

// fromCache reports whether the cache answered a request that reached no side. The
// decision counts as any other.
func (e *Event) fromCache() bool {
	for _, known := range cacheResults {
		if known.answers && known.result == e.Cached.Result {
			if e.Decision == "" && e.Reason != "" {
				e.Decision = e.Cached.Side
			}
			e.Answered = ""
			return true
		}
	}
	return false
}

// countCache counts what the cache did. A request that it answered counts for no side:
// not as answered, and with no latency.
func (c *Counters) countCache(s *service, e *Event) {
	if e.Cached.Result != "" {
		c.metrics.cache.WithLabelValues(s.name, orNone(e.Cached.Side), e.Cached.Result).Inc()
	}
}
