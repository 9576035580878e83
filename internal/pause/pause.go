// Package pause waits, but no longer than a context lasts.
package pause

import (
	"context"
	"time"
)

// For waits for the duration. It returns false when ctx ends first, or has ended.
func For(ctx context.Context, length time.Duration) bool {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	return ctx.Err() == nil
}
