package waiting

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// steps gives the next error at each check, and then nil.
type steps []error

func (s *steps) Check(context.Context) error {
	if len(*s) == 0 {
		return nil
	}
	next := (*s)[0]
	*s = (*s)[1:]
	return next
}

func TestUntil(t *testing.T) {
	t.Parallel()
	notYet, final := errors.New("not yet"), FinalError{errors.New("rejected")}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		require.NoError(t, Until(t.Context(), &steps{notYet, notYet}, Pace{time.Second, time.Minute}))
		require.Equal(t, 2*time.Second, time.Since(began))
		require.Equal(t, final, Until(t.Context(), &steps{notYet, final}, Pace{time.Second, time.Minute}))
		require.Equal(t, notYet, Until(t.Context(), &steps{notYet, notYet, notYet, notYet}, Pace{time.Second, 2 * time.Second}))
	})
}

// slowAnswer answers once, and then hangs until the waiting is over.
type slowAnswer struct{ checks int }

func (s *slowAnswer) Check(ctx context.Context) error {
	s.checks++
	if s.checks == 1 {
		return errors.New("late still serves old")
	}
	<-ctx.Done()
	return ctx.Err()
}

// TestUntilSaysWhy: that the time is over is not the reason.
func TestUntilSaysWhy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		require.EqualError(t, Until(t.Context(), &slowAnswer{}, Pace{time.Second, time.Minute}), "late still serves old")
	})
}
