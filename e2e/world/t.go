package world

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// T is what a scenario is run by: a *testing.T, or the demo.
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
	// Patience is how long the world waits for what should take a moment. A
	// busy machine is not a failure.
	Patience = 60 * time.Second
	pause    = 50 * time.Millisecond
)

// Await polls until the function gives nil. If it does not within Patience the
// scenario fails with the last error.
func Await(t T, what string, try func(ctx context.Context) error) {
	t.Helper()
	AwaitFor(t, Patience, what, try)
}

// AwaitFor is Await with another patience.
func AwaitFor(t T, patience time.Duration, what string, try func(ctx context.Context) error) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var last error
	for {
		err := try(ctx)
		if err == nil {
			return
		}
		if last == nil || ctx.Err() == nil { // not the error that the end of time caused
			last = err
		}
		select {
		case <-ctx.Done():
			fatal(t, "waited %s for: %s: %v", time.Since(began).Round(time.Millisecond), what, last)
			return
		case <-time.After(pause):
		}
	}
}

// Never polls for a while, and fails the scenario as soon as the function
// gives an error: something that must stay did not.
func Never(t T, during time.Duration, what string, try func(ctx context.Context) error) {
	t.Helper()
	for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(pause) {
		if err := try(t.Context()); err != nil {
			fatal(t, "%s did not last: %v", what, err)
			return
		}
	}
}

func fatal(t T, format string, args ...any) {
	t.Helper()
	t.Errorf("%s", fmt.Sprintf(format, args...))
	t.FailNow()
}

// must ends the scenario on an error.
func must(t T, err error, doing string, args ...any) {
	t.Helper()
	if err != nil {
		fatal(t, "%s: %v", fmt.Sprintf(doing, args...), err)
	}
}

// label makes a name that Kubernetes takes out of a test's name.
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
