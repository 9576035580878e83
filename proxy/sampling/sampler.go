package sampling

import (
	"context"
	"sync"
	"time"

	"github.com/migration-proxy/migration-proxy/compare"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/accesslog"
)

// The bounds of what a Sampler asks.
const (
	// lookCost is the most that one look costs either side.
	lookCost = 3
	// maxCredit bounds what a busy hour saves for a quiet one.
	maxCredit = 30
	// differingPause is the time between samples of a route that differs, when those of the
	// hour are used up.
	differingPause = time.Minute
	// atOnce is how many looks are under way.
	atOnce = 2
	// maxRoutes bounds the memory for the counts of samples by route.
	maxRoutes = 1000
)

// Looker asks both sides; an *Asker, or a test.
type Looker interface {
	Look(ctx context.Context, s *migration.Service, request compare.Request) (compare.Sample, compare.Verdict, Cost)
}

// Pace is how much a Sampler asks.
type Pace struct {
	Pause    time.Duration // between the beginnings of two samples of a replica
	Part     float64       // of the requests of a service, which either side gets again
	PerRoute int           // samples of a route in an hour
}

// usualPace is that of a new Sampler.
var usualPace = Pace{Pause: time.Second, Part: 0.01, PerRoute: 20}

// Sampler asks both sides again for some of the requests in the access log, of services
// with compare.continuous. It never asks more than its bounds, whatever the traffic is.
type Sampler struct {
	// Pace is set before the first request. Only tests have another than NewSampler's.
	Pace Pace

	looker Looker
	queue  chan job

	mu       sync.Mutex
	services map[migration.Name]*watched
	last     time.Time // the beginning of the last sample
	busy     int       // looks that wait or are under way
}

// job is a sample to take.
type job struct {
	service *migration.Service
	request compare.Request
}

// watched is the state of one compared service.
type watched struct {
	service   *migration.Service
	slots     slots
	credit    float64 // requests that either side may get
	routes    map[string]*route
	hour      time.Time // since when samples of a route count
	guard     guard
	samples   uint64 // since the agent started
	requested Cost   // since the agent started
}

// NewSampler makes a Sampler without services.
func NewSampler(looker Looker) *Sampler {
	return &Sampler{Pace: usualPace, looker: looker, queue: make(chan job, atOnce), services: map[migration.Name]*watched{}}
}

// SetTable says which services are compared. What is known of one stays while its
// backends are the same.
func (s *Sampler) SetTable(table *migration.Table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.services
	s.services = map[migration.Name]*watched{}
	for i := range table.Services() {
		row := &table.Services()[i]
		if row.Compare == nil || !row.Compare.Continuous || row.GRPC() {
			continue
		}
		w := before[row.Name]
		if w == nil || !sameSides(w.service, row) {
			w = &watched{routes: map[string]*route{}}
		}
		w.service = row
		s.services[row.Name] = w
	}
}

func sameSides(a, b *migration.Service) bool {
	return a.OldHost == b.OldHost && a.PathPrefix == b.PathPrefix && a.OldBackend == b.OldBackend && a.NewBackend == b.NewBackend && a.NewHost == b.NewHost
}

// ObserveRequest implements accesslog.RequestObserver.
func (s *Sampler) ObserveRequest(event *accesslog.Event, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.services[migration.Name(event.Service)]
	if w == nil {
		return
	}
	w.credit = min(w.credit+s.Pace.Part, maxCredit)
	request := compare.Request{Method: string(event.Method), Host: string(event.Host), Target: string(event.Target)}
	if reason := CheckRequest(request.Method, request.Target, w.service.Compare.Skip); reason != "" {
		w.slots.at(now).Left(reason)
		return
	}
	key := compare.RouteKey(request.Method, request.Path())
	w.slots.at(now).Saw(key)
	if s.busy >= atOnce || now.Sub(s.last) < s.Pace.Pause || !w.mayAsk(key, s.Pace.PerRoute, now) {
		return
	}
	request.ID = string(event.RequestID)
	s.last = now
	s.busy++
	w.credit -= lookCost
	w.routes[key].ask(now)
	s.queue <- job{w.service, request} // has room, because busy bounds it
}

// mayAsk tells whether the bounds of the service allow a sample of the route.
func (w *watched) mayAsk(key string, perRoute int, now time.Time) bool {
	if now.Sub(w.hour) >= time.Hour {
		w.hour = now
		for key, known := range w.routes {
			if known.asked = 0; known.differed == 0 {
				delete(w.routes, key)
			}
		}
	}
	if w.routes[key] == nil {
		if len(w.routes) >= maxRoutes {
			return false
		}
		w.routes[key] = &route{}
	}
	return w.credit >= lookCost && w.routes[key].mayAsk(perRoute, now) && w.guard.paused(now) == ""
}

// Run asks until ctx ends.
func (s *Sampler) Run(ctx context.Context) {
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case next := <-s.queue:
					s.look(ctx, next)
				}
			}
		})
	}
	workers.Wait()
}

func (s *Sampler) look(ctx context.Context, next job) {
	sample, verdict, cost := s.looker.Look(ctx, next.service, next.request)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
	w := s.services[next.service.Name]
	if ctx.Err() != nil || w == nil || w.service != next.service && !sameSides(w.service, next.service) {
		return
	}
	w.credit += lookCost - float64(max(cost.Old, cost.New))
	w.samples++
	w.requested.Old, w.requested.New = w.requested.Old+cost.Old, w.requested.New+cost.New
	now := time.Now()
	w.slots.at(now).Add(&sample, verdict, now)
	key := compare.RouteKey(sample.Method, sample.Path())
	if known := w.routes[key]; known != nil && known.saw(len(verdict.Differences) > 0) {
		w.slots.forget(key)
		*known = route{}
	}
}

// slotTime is how long one slot collects, and slotCount slots are an hour.
const (
	slotTime  = 2 * time.Minute
	slotCount = 30
)

// slots has the last hour in parts, so that what was mended is forgotten.
type slots struct {
	all    [slotCount]compare.Tally
	number [slotCount]int64
}

// at gives the slot of a time.
func (s *slots) at(now time.Time) *compare.Tally {
	number := now.UnixNano() / int64(slotTime)
	i := number % slotCount
	if s.number[i] != number {
		s.all[i], s.number[i] = compare.Tally{}, number
	}
	return &s.all[i]
}

// since adds up the slots of the last hour that end after a time.
func (s *slots) since(from, now time.Time) *compare.Tally {
	first := max(from.UnixNano(), now.Add(-time.Hour).UnixNano()) / int64(slotTime)
	sum := &compare.Tally{}
	for i := range s.all {
		if s.number[i] >= first {
			sum.Merge(&s.all[i])
		}
	}
	return sum
}

// forget removes what was found on a route.
func (s *slots) forget(route string) {
	for i := range s.all {
		s.all[i].Forget(route)
	}
}
