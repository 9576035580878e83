package dataplane

import (
	"context"
	"errors"
	"net/http"
	"os"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/history"
	"github.com/migration-proxy/migration-proxy/internal/page"
	"github.com/migration-proxy/migration-proxy/internal/pageserver"
	"github.com/migration-proxy/migration-proxy/internal/rampview"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/localjournal"
	"github.com/migration-proxy/migration-proxy/proxy/localramp"
)

// The times between two states of the page, while somebody looks.
const (
	pageInterval   = time.Second
	detailInterval = 5 * time.Second
)

// page is what browsers get at "/": the state of this proxy. Nothing of it is made while
// nobody looks.
func (p *dataPlane) page() http.Handler {
	return pageserver.New(pageserver.Options{
		Source: pageSource{p}, Place: p.pagePlace(), Interval: pageInterval, DetailInterval: detailInterval, Allow: pageserver.OwnAddress,
	})
}

func (p *dataPlane) pagePlace() string {
	if p.ramps != nil {
		return "one proxy, without a cluster"
	}
	name, err := os.Hostname() // that of the pod
	if err != nil {
		return "one replica"
	}
	return "one replica, " + name
}

// pageSource reads the state of this process.
type pageSource struct{ *dataPlane }

// Snapshot implements pageserver.Source.
func (s pageSource) Snapshot(context.Context) (page.Snapshot, error) {
	now := s.status()
	snap := page.Snapshot{Place: s.pagePlace(), Headline: now.Headline(), At: now.Now, Problems: now.Problems(), Services: make([]page.Service, len(now.Services))}
	for i := range now.Services {
		snap.Services[i].Service = now.Services[i]
	}
	if holes := now.Nginx.Holes(); holes != "" {
		snap.Notes = append(snap.Notes, holes)
	}
	if s.ramps == nil {
		snap.Notes = append(snap.Notes, "This is one replica. 'migration-proxy ui' shows all of them, with the evidence of ramps, Ingresses and the journal.")
		return snap, nil
	}
	if err := s.addRamps(&snap); err != nil {
		snap.Notes = append(snap.Notes, err.Error())
	}
	return snap, nil
}

// addRamps adds the ramps that this process moves.
func (s pageSource) addRamps(snap *page.Snapshot) error {
	table := s.agent.Table()
	if table == nil {
		return nil
	}
	data, err := localramp.Read(s.options.RuntimeDir)
	if err != nil {
		return err
	}
	rows, err := rampview.Rows(table, data, snap.At)
	snap.SetRamps(rows)
	return err
}

// Detail implements pageserver.Source.
func (s pageSource) Detail(_ context.Context, service *page.Service) page.Detail {
	const inCluster = "Only 'migration-proxy ui' asks the cluster."
	d := page.Detail{History: s.history.Document(service.Name), IngressesNote: inCluster, EventsNote: inCluster, JournalNote: inCluster}
	if s.journal != nil {
		d.IngressesNote, d.EventsNote = "There is no cluster.", "There is no cluster; the journal says what happened."
		all, err := localjournal.Read(s.options.RuntimeDir)
		if err != nil {
			d.JournalNote = err.Error()
			return d
		}
		d.Journal, d.JournalNote = page.NewestEntries(all, service.Name)
	}
	return d
}

// Table implements pageserver.Source.
func (s pageSource) Table(context.Context) (*migration.Table, error) {
	if table := s.agent.Table(); table != nil {
		return table, nil
	}
	return nil, errors.New("no config is in force yet")
}

// recordHistory adds a point to the history at each full minute, so that those of several
// replicas can be added up.
func (p *dataPlane) recordHistory(ctx context.Context) {
	for {
		now := time.Now()
		select {
		case <-ctx.Done():
			return
		case <-time.After(now.Truncate(history.Interval).Add(history.Interval).Sub(now)):
			p.history.Record(p.status().Services, time.Now())
		}
	}
}
