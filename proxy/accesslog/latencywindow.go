package accesslog

import (
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

// latencyMinutes is how far a latencyWindow looks back.
const latencyMinutes = 10

// latencyWindow counts latencies of the last ten minutes in bins so fine that their
// 99th percentile is exact to 5 %.
type latencyWindow struct {
	minutes [latencyMinutes]latencyMinute
}

type latencyMinute struct {
	number int64 // minutes since 1970
	bins   [status.LatencyBins]uint32
}

func (w *latencyWindow) add(latency time.Duration, now time.Time) {
	number := now.Unix() / 60
	minute := &w.minutes[number%latencyMinutes]
	if minute.number != number {
		*minute = latencyMinute{number: number}
	}
	minute.bins[status.LatencyBin(latency.Seconds())]++
}

// sum is the histogram of the last ten minutes without the empty bins at its end; nil
// without counts.
func (w *latencyWindow) sum(now time.Time) []uint64 {
	total, end, newest := make([]uint64, status.LatencyBins), 0, now.Unix()/60
	for i := range w.minutes {
		minute := &w.minutes[i]
		if minute.number <= newest-latencyMinutes || minute.number > newest {
			continue
		}
		for bin, n := range minute.bins {
			if n > 0 {
				total[bin] += uint64(n)
				end = max(end, bin+1)
			}
		}
	}
	if end == 0 {
		return nil
	}
	return total[:end]
}
