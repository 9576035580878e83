package webhook

import (
	"fmt"
	"net/http"

	"golang.org/x/sync/semaphore"
)

const (
	// maxBodyBytes is the limit of one request: the API server takes objects of up
	// to 3 MiB, and sends the old and the new one.
	maxBodyBytes = 7 << 20

	// totalBodyBytes is the limit of all requests together. Decoding takes several
	// times as much memory as the body, and the container, which also runs the
	// watcher, has 512 MiB.
	totalBodyBytes = 4 * maxBodyBytes
)

// bodyBudget limits the memory of the request bodies that are read at the same
// time. Anybody who reaches the port can send requests, so it does not depend on
// who the client is.
type bodyBudget struct{ bytes *semaphore.Weighted }

func newBodyBudget(bytes int64) bodyBudget { return bodyBudget{semaphore.NewWeighted(bytes)} }

// acquire waits until the body fits into the budget. The caller must call
// release when it no longer needs the body.
func (b bodyBudget) acquire(r *http.Request) (release func(), err error) {
	size := r.ContentLength
	if size < 0 || size > maxBodyBytes {
		size = maxBodyBytes // unknown, or reading stops there
	}
	if err := b.bytes.Acquire(r.Context(), size); err != nil {
		return nil, fmt.Errorf("wait for other requests: %w", err)
	}
	return func() { b.bytes.Release(size) }, nil
}
