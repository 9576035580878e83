package ui

import (
	"context"
	"sync"

	"github.com/migration-proxy/migration-proxy/internal/cli/clusterstatus"
	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
	"github.com/migration-proxy/migration-proxy/internal/cli/ramps"
	"github.com/migration-proxy/migration-proxy/internal/cli/statusview"
	"github.com/migration-proxy/migration-proxy/internal/history"
	"github.com/migration-proxy/migration-proxy/internal/page"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/migration"
)

// source reads an installation.
type source struct {
	in *installation.Installation

	mu    sync.Mutex
	table *migration.Table // of the last Snapshot; nil: none could be read
}

func (s *source) place() string { return "namespace " + s.in.Namespace }

// Snapshot implements pageserver.Source. It reads what the command status reads, and the
// ramps.
func (s *source) Snapshot(ctx context.Context) (page.Snapshot, error) {
	now, err := clusterstatus.Read(ctx, s.in)
	if err != nil {
		return page.Snapshot{}, err
	}
	snap := page.Snapshot{
		Place: s.place(), Headline: statusview.Headline(now), At: now.Now, Problems: statusview.Problems(now), Notes: statusview.Notes(now),
		Services: make([]page.Service, len(now.Services)),
	}
	for i, service := range now.Services {
		snap.Services[i] = newService(service)
	}
	for _, replica := range now.Replicas {
		c := statusview.ReplicaCells(replica, now.Now)
		snap.Replicas = append(snap.Replicas, page.Replica{Pod: c[0], Ready: c[1], Serves: c[2], Since: c[3], Version: c[4], Nginx: c[5]})
	}
	if err := s.addRamps(ctx, &snap); err != nil {
		snap.Notes = append(snap.Notes, err.Error())
	}
	return snap, nil
}

func newService(from clusterstatus.Service) page.Service {
	one := page.Service{Service: from.Service, Since: from.Since}
	for _, r := range from.Replicas {
		one.Replicas = append(one.Replicas, page.ReplicaShare(r))
	}
	return one
}

func (s *source) addRamps(ctx context.Context, snap *page.Snapshot) error {
	table := s.in.LastValidTable(ctx)
	s.mu.Lock()
	s.table = table
	s.mu.Unlock()
	if table == nil {
		return nil // the problems say why
	}
	rows, err := ramps.InCluster{Installation: s.in}.Rows(ctx, table)
	snap.SetRamps(rows)
	return err
}

// Table implements pageserver.Source.
func (s *source) Table(ctx context.Context) (*migration.Table, error) {
	s.mu.Lock()
	table := s.table
	s.mu.Unlock()
	if table != nil {
		return table, nil
	}
	return s.in.Table(ctx) // which says what is wrong
}

// Detail implements pageserver.Source. What the user may not read is a note.
func (s *source) Detail(ctx context.Context, service *page.Service) page.Detail {
	var d page.Detail
	d.History, d.HistoryNote = s.history(ctx, service.Name)
	d.Journal, d.JournalNote = s.journal(ctx, service.Name)
	d.Ingresses, d.IngressesNote = s.ingresses(ctx, service.OldHost)
	d.Events, d.EventsNote = s.events(ctx, d.Ingresses)
	return d
}

// history adds up what the replicas kept. It lives in them: nobody must be asked that
// the user has not asked for the status already.
func (s *source) history(ctx context.Context, service string) (history.Document, string) {
	replicas, err := s.in.Histories(ctx, service)
	if err != nil {
		return history.Document{}, err.Error()
	}
	var known []history.Document
	note := ""
	for _, replica := range replicas {
		if replica.Err != nil {
			note = "Without " + replica.Pod + ": " + replica.Err.Error()
			continue
		}
		known = append(known, replica.Document)
	}
	return history.Add(known), note
}

func (s *source) journal(ctx context.Context, service string) ([]journal.Entry, string) {
	all, err := s.in.Journal(ctx)
	if err != nil {
		return nil, err.Error()
	}
	return page.NewestEntries(all, service)
}
