package config

import (
	"slices"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
)

// A struct whose field has tag short may be written as the value of this field alone.

type ramp struct {
	Steps      []step           `yaml:"steps" required:"true" short:"true" doc:"The shares in percent, rising; each is a number, or has keys of its own."`
	Hold       longTime         `yaml:"hold" default:"30m" doc:"How long each step is served at least, 1s to 720h."`
	Advise     bool             `yaml:"advise" default:"false" doc:"true: say what the ramp would do, and move nothing."`
	Judge      judge            `yaml:"judge" doc:"The limits of the comparison of new with old."`
	NoData     noData           `yaml:"no_data" default:"wait" doc:"wait: a step without enough requests waits; a time such as 24h: after so long without a failure of new the share rises."`
	Only       *window          `yaml:"only" doc:"When a step up is allowed; without it, always."`
	NotAheadOf []migration.Name `yaml:"not_ahead_of" doc:"The share never rises above the shares of these services."`
	Check      []rampCheck      `yaml:"check" doc:"Addresses that must agree to a step up."`
	Parity     *migration.Share `yaml:"parity" doc:"A step up waits until both sides answer alike on so many percent of the compared requests, at least 30 of them; it needs compare.continuous."`
	Back       back             `yaml:"back" doc:"How the share falls when new is bad."`
}

type step struct {
	To   migration.Share `yaml:"to" required:"true" short:"true" doc:"The share of this step in percent, at most two decimals."`
	Hold *longTime       `yaml:"hold" doc:"Replaces ramp.hold for this step."`
	Ask  bool            `yaml:"ask" default:"false" doc:"true: a person approves before the share rises to this step."`
}

type judge struct {
	Failures    failureLimits `yaml:"failures" doc:"Limits of the odds that new fails, in times old's odds at the same time."`
	Slow        slowLimits    `yaml:"slow" doc:"Limits of the odds that new is slow, in times old's odds at the same time."`
	MaxExtra    extra         `yaml:"max_extra" default:"0.5" doc:"Percentage points: a new that surely fails at most so much more than old is good, whatever the odds are."`
	MinRequests minRequests   `yaml:"min_requests" default:"600" doc:"Requests to new in a step before it can be good."`
}

type failureLimits struct {
	Tolerate times `yaml:"tolerate" default:"1.5" doc:"So many times old's odds are not bad, 1 to 100."`
	Exclude  times `yaml:"exclude" default:"3" doc:"The share rises once so many times are excluded; more than tolerate."`
}

type slowLimits struct {
	Tolerate times         `yaml:"tolerate" default:"2" doc:"So many times old's odds are not bad, 1 to 100."`
	Exclude  times         `yaml:"exclude" default:"4" doc:"The share rises once so many times are excluded; more than tolerate."`
	Allow    time.Duration `yaml:"allow" default:"30ms" doc:"An answer of new is slow when it takes so much longer than old's 99th percentile."`
}

type window struct {
	Days migration.Days  `yaml:"days" default:"sun-sat" doc:"Days of the week, like mon-fri or sat,sun; a window over midnight belongs to the day when it begins."`
	From migration.Clock `yaml:"from" required:"true" doc:"The time of the day when the window begins."`
	To   migration.Clock `yaml:"to" required:"true" doc:"The time of the day when it ends; before from it is of the next day."`
	Zone migration.Zone  `yaml:"zone" default:"UTC" doc:"The time zone, like Europe/Berlin."`
}

type rampCheck struct {
	Name  checkName `yaml:"name" required:"true" doc:"What the address tells, for people."`
	URL   checkURL  `yaml:"url" required:"true" doc:"The watcher GETs this address; a status of 200 to 299 agrees."`
	Every seconds   `yaml:"every" default:"1m" doc:"Time between two requests, 1s to 24h."`
}

type back struct {
	To    backTo          `yaml:"to" default:"previous" doc:"previous: to the step before; zero: everything to old."`
	By    migration.Share `yaml:"by" default:"20" doc:"A larger fall is divided into portions of so many percentage points."`
	Every seconds         `yaml:"every" default:"10s" doc:"Time between two portions."`
}

func (r *ramp) build() *migration.Ramp {
	if r == nil {
		return nil
	}
	built := &migration.Ramp{
		Advise: r.Advise, Judge: r.Judge.build(), NoData: time.Duration(r.NoData), Only: r.Only.build(),
		NotAheadOf: slices.Clone(r.NotAheadOf),
		Back:       migration.RampBack{ToZero: r.Back.To == backToZero, By: r.Back.By, Every: time.Duration(r.Back.Every)},
	}
	if r.Parity != nil {
		built.Parity = *r.Parity
	}
	for _, s := range r.Steps {
		hold := firstOf(s.Hold, &r.Hold)
		built.Steps = append(built.Steps, migration.RampStep{To: s.To, Hold: time.Duration(hold), Ask: s.Ask})
	}
	for _, c := range r.Check {
		built.Checks = append(built.Checks, migration.RampCheck{Name: string(c.Name), URL: string(c.URL), Every: time.Duration(c.Every)})
	}
	return built
}

func (j judge) build() migration.RampJudge {
	return migration.RampJudge{
		Failures:  migration.OddsLimits{Tolerate: float64(j.Failures.Tolerate), Exclude: float64(j.Failures.Exclude)},
		Slow:      migration.OddsLimits{Tolerate: float64(j.Slow.Tolerate), Exclude: float64(j.Slow.Exclude)},
		SlowAllow: j.Slow.Allow, MaxExtra: float64(j.MaxExtra) / 100, MinRequests: int(j.MinRequests),
	}
}

func (w *window) build() *migration.Window {
	if w == nil {
		return nil
	}
	return &migration.Window{Days: w.Days, From: w.From, To: w.To, Zone: w.Zone}
}
