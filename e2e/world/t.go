package world

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// T runs a scenario: a *testing.T, or the demo.
type T interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	FailNow()
	Failed() bool
	Cleanup(func())
	Context() context.Context
	Name() string
}

const (
	// Timeout is how long to wait for things that normally take moments. It is long,
	// because the machine may be busy; a wait ends as soon as its condition holds.
	Timeout = 2 * time.Minute
	pause   = 50 * time.Millisecond
)

// Eventually polls until the function gives nil. If it does not within Timeout, the
// scenario fails with the last error.
func Eventually(t T, what string, try func(ctx context.Context) error) {
	t.Helper()
	EventuallyWithin(t, Timeout, what, try)
}

// EventuallyWithin is Eventually with another timeout.
func EventuallyWithin(t T, timeout time.Duration, what string, try func(ctx context.Context) error) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	var last error
	for {
		err := try(ctx)
		if err == nil {
			return
		}
		if last == nil || ctx.Err() == nil { // ctx.Err() would hide the real error
			last = err
		}
		select {
		case <-ctx.Done():
			fatal(t, "after %s still not: %s: %v", time.Since(began).Round(time.Millisecond), what, last)
			return
		case <-time.After(pause):
		}
	}
}

// Consistently polls for the duration, and fails the scenario as soon as the function
// gives an error.
func Consistently(t T, during time.Duration, what string, try func(ctx context.Context) error) {
	t.Helper()
	for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(pause) {
		if err := try(t.Context()); err != nil {
			fatal(t, "%s: no longer true: %v", what, err)
			return
		}
	}
}

func fatal(t T, format string, args ...any) {
	t.Helper()
	t.Errorf("%s", fmt.Sprintf(format, args...))
	t.FailNow()
}

// must fails the scenario on an error.
func must(t T, err error, doing string, args ...any) {
	t.Helper()
	if err != nil {
		fatal(t, "%s: %v", fmt.Sprintf(doing, args...), err)
	}
}

// label turns the name of a test into a Kubernetes name.
func label(name string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, strings.TrimPrefix(name, "Test"))
	return strings.Trim(clean[:min(len(clean), 40)], "-")
}
