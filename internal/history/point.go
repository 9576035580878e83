package history

import (
	"math"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

// Document is the history of one service: the answer of /history?service=NAME. Its JSON
// field names are an interface.
type Document struct {
	Service         string    `json:"service"`
	IntervalSeconds int       `json:"interval_seconds"`
	Since           time.Time `json:"since"`          // when counting began
	Note            string    `json:"note,omitempty"` // why there is no point
	Points          []Point   `json:"points"`         // the oldest first; minutes may be missing
}

// Point is what a minute had.
type Point struct {
	At       time.Time `json:"at"` // its end
	Share    float64   `json:"share_percent"`
	Observed *float64  `json:"observed_percent"` // nil with too few requests
	Old      Side      `json:"old"`
	New      Side      `json:"new"`
}

// Side is one side of a Point.
type Side struct {
	Rate   float64 `json:"requests_per_second"`
	Failed float64 `json:"failed_ratio"`
	P99    float64 `json:"latency_p99_seconds"`
}

// cell is a Point in 24 bytes. Parts are in 1/10000.
type cell struct {
	oldRate, newRate     float32
	oldP99, newP99       float32
	share, observed      uint16
	oldFailed, newFailed uint16
}

// absent is the share of a minute that is missing, and the observed share of one with
// too few requests.
const absent = math.MaxUint16

func newCell(row *status.Service) cell {
	c := cell{
		oldRate: float32(row.Old.Rate), newRate: float32(row.New.Rate), oldP99: float32(row.Old.P99), newP99: float32(row.New.P99),
		share: parts(row.Share / 100), observed: absent, oldFailed: parts(row.Old.Failed), newFailed: parts(row.New.Failed),
	}
	if row.Observed != nil {
		c.observed = parts(*row.Observed / 100)
	}
	return c
}

func parts(ratio float64) uint16 { return uint16(math.Round(10_000 * min(max(ratio, 0), 1))) }

func (c cell) point(minute int64) Point {
	p := Point{
		At: time.Unix(minute*int64(Interval/time.Second), 0).UTC(), Share: float64(c.share) / 100,
		Old: Side{float64(c.oldRate), float64(c.oldFailed) / 10_000, float64(c.oldP99)},
		New: Side{float64(c.newRate), float64(c.newFailed) / 10_000, float64(c.newP99)},
	}
	if c.observed != absent {
		p.Observed = new(float64(c.observed) / 100)
	}
	return p
}
