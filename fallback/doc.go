// Package fallback decides when the traffic of a service leaves new and when
// it may come back. It is the state machine of the circuit breaker (package
// proxy/breaker), one of three protections: retry on old saves single
// requests, the circuit breaker a service, cluster failover the cluster.
//
// Takes:
//   - a Config of the service
//   - how each request to new ended (Outcome)
//   - the results of probing both sides (Probes)
//   - a Command of an operator
//   - the time
//
// Gives:
//   - a State that can be written to disk
//   - a Transition with its Evidence for each change
//
// Refuses:
//   - to read a clock
//   - to trip without enough data
//   - to wait longer than the hold-off lasts, whatever the clock does
//   - a stored State that no Step can have made: DecodeState then gives
//     Migrating and an error
//
// # States
//
// Step takes the first row whose condition holds:
//
//	phase         condition                                    next phase              cause
//	any           no request may go to new (Config.Idle)       Migrating, reset        user_edit
//	FallenBack,   fallback.enabled is false, and no            Migrating, reset        user_edit
//	Recovering    operator tripped the service
//	any           an operator trips                            FallenBack, no end      operator_trip
//	any           an operator clears                           Migrating, reset        operator_clear
//	Migrating,    failing, but old is down too                 unchanged, reported     held_old_down
//	Recovering                                                 once
//	Migrating     failing                                      FallenBack              failures, unhealthy
//	Recovering    failing                                      FallenBack, doubled     failures, unhealthy
//	Migrating     the calm period is over                      Migrating, no doublings
//	FallenBack    hold-off over and probes of new pass         Recovering              recovery_started
//	Recovering    one failure_window is over                   Migrating               recovered
//
// A service that an operator tripped stays FallenBack until an operator clears
// it or a user's edit makes it Idle.
//
// New gets traffic while the phase is Migrating or Recovering; State.Tripped
// is FallenBack.
//
// A service is failing when new failed max_failures requests within
// failure_window, and these are also at least failure_ratio of the requests to
// new within it. A service with a health check is also failing when its probes
// say Unhealthy. Recovering counts from zero and uses the same limits as
// Migrating: one 503 among a thousand good answers must not keep a service on
// old for forty minutes.
//
// # Hold-off
//
// The hold-off is recovery_time. It doubles with each trip that comes before
// the last recovery has proved itself, up to eight times recovery_time. A
// recovery has proved itself when Migrating has lasted for the calm period: as
// long as the last hold-off, and at least one failure_window. With
// recovery_time 300 s:
//
//	00:00:00  5 failures in 12 s         FallenBack until 00:05:00
//	00:05:00  two probes pass            Recovering until 00:06:00
//	00:05:20  5 failures                 FallenBack until 00:15:20   (600 s)
//	00:15:20  probes fail                FallenBack, probed again every interval
//	00:18:00  two probes pass            Recovering until 00:19:00
//	00:19:00                             Migrating; calm at 00:29:00
//	00:27:00  5 failures                 FallenBack until 00:47:00   (1200 s)
//
// # When old is down
//
// Old is the side that worked before, so its probes change nothing, with one
// exception: while old does not even accept connections (for example scaled
// down after a migration to 100 %), an automatic trip would turn five failures
// into an outage. The trip is held back, and made when old is back and the
// service is still failing. An operator's trip is never held back.
package fallback
