package breaker

import (
	"fmt"
	"time"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/accesslog"
)

// The warnings of status.Side.
const (
	comesBack = "answers 508: requests to it come back to this proxy; correct the backend, or what its name resolves to"
	redirects = "redirects to the address that was asked for: new's ingress does not know that the client came by https; " +
		"use https in new_backend, or let it believe X-Forwarded-Proto"
	hints = "sends 103 Early Hints, which nginx before 1.29 takes for the whole answer: the connection of the client then serves no " +
		"further request; switch early hints off there, or use nginx 1.29 or later"
)

// statusEarlyHints is the status of a side only with nginx before 1.29; later ones pass it on
// and give the status of the answer.
const statusEarlyHints = 103

// observeLoop warns of a side that leads back to the proxy. It is called with every
// request that got 508.
func (b *Breaker) observeLoop(event *accesslog.Event, now time.Time) {
	b.warnOfSides(event, comesBack, now, func(u *accesslog.Upstream) bool {
		return u.Replied && u.Status == fallback.StatusLoopDetected
	})
}

// observeHints warns of a side that sends early hints. It is called with every request that
// got them for its answer.
func (b *Breaker) observeHints(event *accesslog.Event, now time.Time) {
	b.warnOfSides(event, hints, now, func(u *accesslog.Upstream) bool { return u.Status == statusEarlyHints })
}

// warnOfSides warns of each side of a request that is so.
func (b *Breaker) warnOfSides(event *accesslog.Event, text string, now time.Time, so func(*accesslog.Upstream) bool) {
	name := migration.Name(event.Service)
	if so(&event.Old) {
		b.warn(name, migration.Old, text, now)
	}
	if so(&event.New) {
		b.warn(name, migration.New, text, now)
	}
}

func (b *Breaker) warn(name migration.Name, side migration.Side, text string, now time.Time) {
	if b.options.Counters.Warn(name, side, text, now) {
		b.options.Log.Warn("a backend does not answer clients as it should", "service", name, "side", side, "problem", text)
	}
}

// isRedirectBack tells whether new redirected to the address that was asked for: nginx
// sends the line of a redirect at once only then.
func isRedirectBack(event *accesslog.Event) bool {
	return event.New.Replied && event.New.Status >= 300 && event.New.Status < 400 && event.Old.Tries == 0
}

// observeRedirectBack counts a redirect that leads to no answer as a failure. The access
// log calls it a success.
func (b *Breaker) observeRedirectBack(s *service, event *accesslog.Event, now time.Time) {
	b.warn(s.name, migration.New, redirects, now)
	b.options.Counters.AddBrokenAnswer(s.name, migration.New, fallback.FailureRedirect, now)
	b.failedAnswer(s, fallback.FailureRedirect, fmt.Sprintf("%d to the address that was asked for", event.New.Status), now)
}
