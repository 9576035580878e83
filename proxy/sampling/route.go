package sampling

import (
	"math"
	"time"
)

// route is what a Sampler knows of one route.
type route struct {
	asked    int       // samples in this hour
	last     time.Time // the beginning of the last one
	looks    int       // until the last difference
	differed int       // of these
	alike    int       // looks since the last difference
}

// mayAsk tells whether the route may get one more sample. One that differs always gets a
// few, so that it is seen when somebody has mended it.
func (r *route) mayAsk(perHour int, now time.Time) bool {
	return r.asked < perHour || r.differed > 0 && now.Sub(r.last) >= differingPause
}

func (r *route) ask(now time.Time) {
	r.asked++
	r.last = now
}

// saw takes what a look has found in, and tells whether the route is mended: if it still
// differed as often as before, so many equal answers in a row would be a rare chance.
//
//	looks  differed  mended after
//	   10        10   3 equal answers
//	   10         5   8
//	   20         2  51
func (r *route) saw(difference bool) (mended bool) {
	r.alike++
	if difference {
		r.looks, r.differed, r.alike = r.looks+r.alike, r.differed+1, 0
	}
	if r.differed == 0 {
		return false
	}
	often := min(float64(r.differed)/float64(r.looks), mostOften)
	return math.Pow(1-often, float64(r.alike)) < rareChance
}

const (
	// mostOften is how often a route differs at most: a difference that was there every time
	// may be away once.
	mostOften = 0.9
	// rareChance is the chance that a difference counts as mended and is not.
	rareChance = 0.005
)
