package main

import (
	"context"
	"time"

	apiwait "k8s.io/apimachinery/pkg/util/wait"
)

// poll waits until the condition holds. It reports false when the timeout or
// the context is over first.
func poll(ctx context.Context, timeout time.Duration, condition func() bool) bool {
	return apiwait.PollUntilContextTimeout(ctx, 20*time.Millisecond, timeout, true, func(context.Context) (bool, error) {
		return condition(), nil
	}) == nil
}
