package beat

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestTogether: loops that begin at different times fire at the same times, at their
// intervals, also a slow one.
func TestTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fired := map[time.Time]int{}
		for i := range 3 {
			time.Sleep(time.Duration(i) * 37 * time.Millisecond)
			<-After(100 * time.Millisecond)
			fired[time.Now()]++
		}
		for at := range fired {
			require.Zero(t, at.Sub(at.Truncate(100*time.Millisecond)))
		}
		before := time.Now()
		<-After(100 * time.Millisecond)
		require.Equal(t, 100*time.Millisecond, time.Since(before), "a loop without work has a whole interval")
		<-After(time.Second)
		require.Zero(t, time.Now().Nanosecond())
	})
}
