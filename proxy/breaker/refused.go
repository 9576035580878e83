package breaker

import "time"

// refusedUploads are the ids of requests whose body new refused before it had read it
// (413, for example), and closed the connection. That looks like a reset, but new is
// well. Only the line that nginx sends at once tells the difference, so the id is kept
// until the batch has brought the line that does not.
type refusedUploads struct{ seen map[string]time.Time }

const (
	// keepUpload is much longer than a batch takes.
	keepUpload = 5 * time.Second
	// maxUploads bounds the memory. Further ones count as resets.
	maxUploads = 1000
)

func (r *refusedUploads) add(id []byte, now time.Time) {
	if r.seen == nil {
		r.seen = map[string]time.Time{}
	}
	if len(r.seen) < maxUploads {
		r.seen[string(id)] = now
	}
}

func (r *refusedUploads) has(id []byte) bool {
	_, refused := r.seen[string(id)]
	return refused
}

func (r *refusedUploads) forget(now time.Time) {
	for id, seen := range r.seen {
		if now.Sub(seen) > keepUpload {
			delete(r.seen, id)
		}
	}
}
