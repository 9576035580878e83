package ramp_test

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
)

var start = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

const tick = 10 * time.Second

// rampTo has the defaults of the config.
func rampTo(hold time.Duration, steps ...migration.Share) *migration.Ramp {
	r := &migration.Ramp{
		Judge: migration.RampJudge{
			Failures: migration.OddsLimits{Tolerate: 1.5, Exclude: 3}, Slow: migration.OddsLimits{Tolerate: 2, Exclude: 4},
			SlowAllow: 30 * time.Millisecond, MaxExtra: 0.005, MinRequests: 600,
		},
		Back: migration.RampBack{By: 2000, Every: tick},
	}
	for _, to := range steps {
		r.Steps = append(r.Steps, migration.RampStep{To: to, Hold: hold})
	}
	return r
}

func configOf(r *migration.Ramp, ceiling migration.Share) ramp.Config {
	return ramp.Config{Ramp: r, Ceiling: ceiling, Recovery: 5 * time.Minute, Structure: "a"}
}

// poisson draws a number of requests: exactly below 30 in the mean, and by the normal
// distribution above.
func poisson(random *rand.Rand, mean float64) uint64 {
	if mean > 30 {
		return uint64(max(0, math.Round(mean+math.Sqrt(mean)*random.NormFloat64())))
	}
	n := uint64(0)
	for left := math.Exp(-mean); ; n++ {
		left /= random.Float64()
		if left > 1 {
			return n
		}
	}
}

// binomial draws how many of n events happen, by the gaps between them.
func binomial(random *rand.Rand, n uint64, p float64) uint64 {
	if p <= 0 {
		return 0
	}
	if p >= 1 {
		return n
	}
	happened, at := uint64(0), 0.0
	for scale := math.Log1p(-p); ; happened++ {
		at += 1 + math.Floor(math.Log(1-random.Float64())/scale)
		if at > float64(n) {
			return happened
		}
	}
}

// side draws the requests of one side in a slot.
func side(random *rand.Rand, mean, failed, slow float64) ramp.Counts {
	n := poisson(random, mean)
	return ramp.Counts{Requests: n, Failed: binomial(random, n, failed), Slow: binomial(random, n, slow)}
}
