package ramp

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
)

// Config is what a migration config says about the ramp of one service.
type Config struct {
	Ramp      *migration.Ramp // nil: no ramp
	Ceiling   migration.Share // the percentage; 0 while the service is disabled
	Freeze    []migration.Freeze
	PerBucket bool          // requests of one user are not independent: the unit is a bucket
	Recovery  time.Duration // the first time that the ramp cools after new was bad
	Structure string        // another text: what was measured is about something else
}

// ConfigOf gives the config of a service of the table.
func ConfigOf(table *migration.Table, s *migration.Service) Config {
	return Config{
		Ramp: s.Ramp, Ceiling: s.EffectiveShare(), Freeze: table.Global().Freeze,
		PerBucket: s.Strategy == migration.StrategyUserHash,
		Recovery:  s.Fallback.RecoveryTime, Structure: structureOf(s),
	}
}

// structureOf is a digest of everything that decides what a request to the service
// meets, what counts as a failure or as slow, and what that is compared with. All settings
// do but those that are left out here: they move the share, compare or check beside the
// traffic, or name Ingresses.
func structureOf(s *migration.Service) string {
	rest := *s
	rest.Share, rest.Enabled = 0, false
	rest.Compare, rest.HealthCheck, rest.Namespaces = nil, nil, nil
	rest.Fallback = migration.Fallback{Enabled: s.Fallback.Enabled, OnStatus: s.Fallback.OnStatus}
	if s.Ramp != nil {
		judge := s.Ramp.Judge
		judge.MaxExtra, judge.MinRequests = 0, 0 // they are no part of the sums
		rest.Ramp = &migration.Ramp{Judge: judge}
	}
	text, err := json.Marshal(rest)
	if err != nil {
		return "" // a service consists of texts and numbers, which have a JSON form
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// Next is the lowest step above the position, or the ceiling where that is lower.
// It is the position itself at the end, and without a ramp.
func (c Config) Next(position migration.Share) migration.Share {
	if c.Ramp == nil {
		return position
	}
	for _, step := range c.Ramp.Steps {
		if step.To > position {
			return min(step.To, max(c.Ceiling, position))
		}
	}
	return position
}

// previous is the highest step below the position, or 0.
func (c Config) previous(position migration.Share) migration.Share {
	var before migration.Share
	for _, step := range c.Ramp.Steps {
		if step.To < position {
			before = step.To
		}
	}
	return before
}

// hold is how long the position is served at least: that of the step, or of the step
// above where the ceiling is between two.
func (c Config) hold(position migration.Share) time.Duration {
	for _, step := range c.Ramp.Steps {
		if step.To >= position {
			return step.Hold
		}
	}
	return c.Ramp.Steps[len(c.Ramp.Steps)-1].Hold
}

// asks tells whether a person approves before the share rises to a position: when
// the step that contains it asks.
func (c Config) asks(position migration.Share) bool {
	for _, step := range c.Ramp.Steps {
		if step.To >= position {
			return step.Ask
		}
	}
	return false
}

// last is the end of the ramp.
func (c Config) last() migration.Share { return c.Ramp.Steps[len(c.Ramp.Steps)-1].To }

// on tells whether the ramp has anything to do.
func (c Config) on() bool { return c.Ramp != nil && len(c.Ramp.Steps) > 0 && c.Ceiling > 0 }
