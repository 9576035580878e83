package pageserver

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/page"
)

// snapshots reads the source at most once in an interval, for all who look.
type snapshots struct {
	source   Source
	interval time.Duration

	mu     sync.Mutex
	readAt time.Time
	newest page.Snapshot
	err    error
	event  []byte // the table's update of the newest; nil: not made yet
}

// get gives the newest snapshot, and reads it if it is too old. Who waits for a reading of
// somebody else gets that one.
func (s *snapshots) get(ctx context.Context) (page.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read(ctx)
}

func (s *snapshots) read(ctx context.Context) (page.Snapshot, error) {
	if time.Since(s.readAt) < s.interval*3/4 { // a tick that comes a moment early is no reason for an old state
		return s.newest, s.err
	}
	// Others wait for this reading: it goes on if the one who began it leaves.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	s.newest, s.err = s.source.Snapshot(ctx)
	s.readAt, s.event = time.Now(), nil
	return s.newest, s.err
}

// tableEvent is the update of the table as JSON. All who look at the table get the same.
func (s *snapshots) tableEvent(ctx context.Context) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	snapshot, err := s.read(ctx)
	if err != nil || s.event != nil {
		return s.event, err
	}
	update, err := page.TableUpdate(&snapshot)
	if err != nil {
		return nil, err
	}
	s.event, err = encode(update)
	return s.event, err
}

func encode(update page.Update) ([]byte, error) {
	text, err := json.Marshal(update)
	if err != nil {
		return nil, fmt.Errorf("encode the page: %w", err)
	}
	return text, nil
}

// details reads details of services, each at most once in an interval.
type details struct {
	source   Source
	interval time.Duration

	mu    sync.Mutex
	known map[string]detail
}

type detail struct {
	readAt time.Time
	page.Detail
}

func (d *details) get(ctx context.Context, service *page.Service) page.Detail {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, one := range d.known {
		if time.Since(one.readAt) >= d.interval {
			delete(d.known, name)
		}
	}
	if found, ok := d.known[service.Name]; ok {
		return found.Detail
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	made := d.source.Detail(ctx, service)
	d.known[service.Name] = detail{time.Now(), made}
	return made
}
