package pageserver

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/page"
)

// writeTimeout is how long a client has to take an event.
const writeTimeout = 10 * time.Second

// servePage answers with the whole page, complete without a script.
func (s *Server) servePage(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Add("Vary", "Accept")
	snapshot, err := s.snapshots.get(r.Context())
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		text, _ := page.Trouble(s.options.Place, err.Error()) // a template that always works
		_, _ = w.Write(text)
		return
	}
	query := r.URL.Query()
	from, _ := strconv.Atoi(query.Get("from")) // 0 if it is no number
	q := page.Query{Service: query.Get("service"), Filter: query.Get("filter"), From: from}
	if q.Service != "" && snapshot.Service(q.Service) == nil {
		w.WriteHeader(http.StatusNotFound)
		text, _ := page.Trouble(s.options.Place, fmt.Sprintf("There is no service %q.", q.Service))
		_, _ = w.Write(text)
		return
	}
	s.writePage(w, r, snapshot, q)
}

func (s *Server) writePage(w http.ResponseWriter, r *http.Request, snapshot page.Snapshot, q page.Query) {
	var details *page.Detail
	form := formOf(r)
	if service := snapshot.Service(q.Service); service != nil {
		details = new(s.details.get(r.Context(), service))
		if form.Host == "" {
			form.Host, form.Path = service.OldHost, service.PathPrefix
		}
	}
	var answer *page.Answer
	if r.URL.Query().Has("host") {
		answer = new(s.explain(r.Context(), form))
	}
	text, err := page.Page(&snapshot, q, details, form, answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(text)
}

// serveEvents sends the newest state again and again: server-sent events.
func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	stream := http.NewResponseController(w)
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default: // the browser comes again
		_, _ = fmt.Fprintf(w, "retry: 10000\nevent: trouble\ndata: %d pages are kept up to date already; close one.\n\n", maxStreams)
		return
	}
	service := r.URL.Query().Get("service")
	ticks := time.NewTicker(s.options.Interval)
	defer ticks.Stop()
	for {
		_ = stream.SetWriteDeadline(time.Now().Add(writeTimeout + readTimeout))
		if _, err := w.Write(s.event(r.Context(), service)); err != nil || stream.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-ticks.C:
		}
	}
}

// event is the newest state, or why there is none.
func (s *Server) event(ctx context.Context, service string) []byte {
	var text []byte
	var err error
	if service == "" {
		text, err = s.snapshots.tableEvent(ctx)
	} else {
		text, err = s.detailEvent(ctx, service)
	}
	if err != nil {
		return fmt.Appendf(nil, "event: trouble\ndata: %s\n\n", strings.Join(strings.Fields(err.Error()), " "))
	}
	return bytes.Join([][]byte{[]byte("retry: 1000\ndata: "), text, []byte("\n\n")}, nil)
}

func (s *Server) detailEvent(ctx context.Context, service string) ([]byte, error) {
	snapshot, err := s.snapshots.get(ctx)
	if err != nil {
		return nil, err
	}
	var details page.Detail
	if row := snapshot.Service(service); row != nil {
		details = s.details.get(ctx, row)
	}
	update, err := page.DetailUpdate(&snapshot, service, details)
	if err != nil {
		return nil, err
	}
	return encode(update)
}
