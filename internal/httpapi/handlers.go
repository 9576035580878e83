package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/migration-proxy/migration-proxy/internal/history"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const indexText = `migration proxy

/health   200 while the process does its work
/ready    200 when traffic may come, 503 with the reason when not
/metrics  for Prometheus
`

const indexStatus = `/status   the whole state as JSON; ?service=NAME for one service, ?brief without figures
`

const indexHistory = `/history  the last six hours of ?service=NAME, as JSON
`

const indexPage = `/         a browser gets a page to look at
`

const indexComparison = `/comparison?service=NAME  in what both sides differ, as JSON; &since=UNIX for a part of the last hour
`

const indexEvidence = `/evidence what was counted for services with a ramp, as JSON
`

// readOnly refuses all methods but GET and HEAD, on any path.
func readOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "nothing here can be changed: use GET or HEAD", http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func index(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = fmt.Fprint(w, text)
	})
}

// condition answers 200 {"NAME":true}, or 503 {"NAME":false,"reason":"..."}.
func condition(name string, check func() error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer, code := map[string]any{name: true}, http.StatusOK
		if err := check(); err != nil {
			answer, code = map[string]any{name: false, "reason": err.Error()}, http.StatusServiceUnavailable
		}
		writeJSON(w, code, answer)
	})
}

func statusHandler(options Options) http.Handler {
	full, short := options.Status, options.Brief
	if short == nil {
		short = full
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		current, isBrief := full, r.URL.Query().Has("brief")
		if isBrief {
			current = short
		}
		document := current()
		if query := r.URL.Query(); query.Has("service") {
			document.Services = rowsNamed(document.Services, query.Get("service"))
			if len(document.Services) == 0 {
				notFound(w, query.Get("service"))
				return
			}
		}
		if document.Services == nil {
			document.Services = []status.Service{} // [] and not null, for clients that loop over it
		}
		if isBrief {
			writeCompact(w, brief(document))
			return
		}
		writeJSON(w, http.StatusOK, document)
	})
}

// evidenceHandler answers with what was counted since the agent started.
func evidenceHandler(current func() status.Evidence) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, current()) })
}

// wantsHTML tells whether the client of a request is a browser: others get text.
func wantsHTML(r *http.Request) bool {
	for _, accepted := range strings.Split(strings.Join(r.Header.Values("Accept"), ","), ",") {
		kind, parameters, _ := strings.Cut(accepted, ";")
		if strings.TrimSpace(kind) == "text/html" && !strings.Contains(strings.ReplaceAll(parameters, " ", "")+";", "q=0;") {
			return true
		}
	}
	return false
}

// indexOrPage answers browsers with the page.
func indexOrPage(text http.Handler, page http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept")
		if wantsHTML(r) {
			page.ServeHTTP(w, r)
			return
		}
		text.ServeHTTP(w, r)
	})
}

// historyHandler answers with the history of one service. A service without one has an
// answer too: its note says why.
func historyHandler(of func(service string) history.Document) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Query().Get("service")
		if name == "" {
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": "say of which service: /history?service=NAME"})
			return
		}
		writeJSON(w, http.StatusOK, of(name))
	})
}

func notFound(w http.ResponseWriter, name string) {
	writeJSON(w, http.StatusNotFound, map[string]string{
		"error": fmt.Sprintf("no service %q in the config that is served; /status lists all", name),
	})
}

// rowsNamed copies the rows with the name: the document may be shared.
func rowsNamed(rows []status.Service, name string) []status.Service {
	return slices.DeleteFunc(slices.Clone(rows), func(row status.Service) bool { return row.Name != name })
}

func writeJSON(w http.ResponseWriter, code int, document any) {
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		http.Error(w, "write JSON: "+err.Error(), http.StatusInternalServerError)
		return
	}
	writeText(w, code, text)
}

// writeCompact is for what programs read all the time: lines and indentation would take
// more than half of its time.
func writeCompact(w http.ResponseWriter, document any) {
	text, err := json.Marshal(document)
	if err != nil {
		http.Error(w, "write JSON: "+err.Error(), http.StatusInternalServerError)
		return
	}
	writeText(w, http.StatusOK, text)
}

func writeText(w http.ResponseWriter, code int, text []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(append(text, '\n'))
}

// metricsHandler uses a registry of its own, without the metrics that libraries
// register globally.
func metricsHandler(options Options) (http.Handler, error) {
	registry := prometheus.NewRegistry()
	all := append([]prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	}, options.Collectors...)
	if options.Status != nil {
		all = append(all, StatusCollector{options.Status})
	}
	for _, collector := range all {
		if err := registry.Register(collector); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry, MaxRequestsInFlight: maxScrapes}), nil
}
