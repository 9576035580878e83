package world

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
)

func TestSplit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		percent float64
		onNew   int // of 400
		failed  int
		right   bool
	}{
		{0, 0, 0, true},
		{0, 1, 0, false},
		{100, 400, 0, true},
		{100, 399, 0, false},
		{50, 200, 0, true},
		{50, 250, 0, true},
		{50, 251, 0, false},
		{5, 20, 0, true},
		{5, 1, 0, true},
		{5, 0, 0, false}, // a share without any request on new
		{95, 400, 0, false},
		{50, 200, 1, false},
	} {
		report := wire.Report{Sent: 400, Sides: map[string]int{New: c.onNew, Old: 400 - c.onNew}, Failed: c.failed}
		if c.right {
			require.NoError(t, Split(report, c.percent), "%v", c)
		} else {
			require.Error(t, Split(report, c.percent), "%v", c)
		}
	}
}
