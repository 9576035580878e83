package history

import (
	"fmt"
	"sync"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

// The bounds of a history.
const (
	Interval    = time.Minute
	Points      = 360  // six hours
	MaxServices = 1000 // the first that have traffic
)

// Store has the history of all services of one replica. It is safe for concurrent use.
type Store struct {
	began time.Time
	max   int

	mu    sync.Mutex
	rings map[string]*ring
}

// New is an empty history that begins now.
func New(now time.Time) *Store {
	return &Store{began: now.UTC(), max: MaxServices, rings: map[string]*ring{}}
}

// ring has a cell for each minute, at its number modulo Points.
type ring struct {
	newest int64 // the number of the newest minute since 1970
	cells  [Points]cell
}

// Record takes the rows of the minute that ends now. A service has a ring from its first
// traffic on, until it had none for six hours or leaves the config.
func (s *Store) Record(rows []status.Service, now time.Time) {
	minute := now.Round(Interval).Unix() / int64(Interval/time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := make(map[string]*ring, len(s.rings))
	for i := range rows {
		if own := s.rings[rows[i].Name]; own != nil {
			own.put(minute, newCell(&rows[i]))
			if own.hasTraffic() {
				kept[rows[i].Name] = own
			}
		}
	}
	s.rings = kept
	for i := range rows {
		row := &rows[i]
		if row.Rate() > 0 && s.rings[row.Name] == nil && len(s.rings) < s.max {
			own := &ring{newest: minute - Points}
			own.put(minute, newCell(row))
			s.rings[row.Name] = own
		}
	}
}

// put writes a minute, and clears those that were missed.
func (r *ring) put(minute int64, c cell) {
	for missed := max(r.newest+1, minute-Points+1); missed < minute; missed++ {
		r.cells[missed%Points] = cell{share: absent}
	}
	if minute >= r.newest {
		r.cells[minute%Points], r.newest = c, minute
	}
}

func (r *ring) hasTraffic() bool {
	for i := range r.cells {
		if c := &r.cells[i]; c.share != absent && c.oldRate+c.newRate > 0 {
			return true
		}
	}
	return false
}

// Document is the history of a service.
func (s *Store) Document(service string) Document {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := Document{Service: service, IntervalSeconds: int(Interval / time.Second), Since: s.began, Points: []Point{}}
	own := s.rings[service]
	if own == nil {
		d.Note = "no request in six hours"
		if len(s.rings) >= s.max {
			d.Note = fmt.Sprintf("%d services have a history, and this one came later", s.max)
		}
		return d
	}
	for minute := own.newest - Points + 1; minute <= own.newest; minute++ {
		if c := own.cells[minute%Points]; c.share != absent {
			d.Points = append(d.Points, c.point(minute))
		}
	}
	return d
}
