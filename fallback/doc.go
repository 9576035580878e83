// Package fallback decides when a service's traffic leaves new, and when it
// may come back. It is the second of the three nets: the first saves single
// requests, the third the cluster.
//
// Takes: a Config, what each request to new came to (Outcome), what probes
// say of both sides (Probes), an operator's Command, and the time.
// Gives: a State that can be written to disk, and for each change a
// Transition with its evidence.
// Refuses: to read a clock, to trip on too little data, to wait longer than a
// hold-off's length whatever the clock does, and a stored State it cannot
// vouch for (DecodeState then gives Normal and an error).
//
// The states and arrows; the first row that fits the moment is taken:
//
//	in            when                                         then
//	any           no request may go to new (Config.Idle)       Normal, all forgotten   user_edit
//	FallenBack,   fallback.enabled is false, and it was        Normal, all forgotten   user_edit
//	Recovering    not an operator who tripped
//	any           an operator trips                            FallenBack, for good    operator_trip
//	any           an operator clears                           Normal, all forgotten   operator_clear
//	FallenBack    by an operator                               stays until one of the above
//	Normal,       cause, but old is down too                   stays, and says so once held_old_down
//	Recovering
//	Normal        cause                                        FallenBack              failures, unhealthy
//	Normal        calm for a whole calm period                 Normal, doublings forgotten
//	FallenBack    hold-off over and probes of new pass         Recovering              recovery_started
//	Recovering    cause                                        FallenBack, doubled     failures, unhealthy
//	Recovering    one failure_window later                     Normal                  recovered
//
// New gets traffic in Normal and in Recovering; State.Tripped is FallenBack.
//
// A cause is max_failures failures within failure_window, when they are also
// failure_ratio of the requests to new in it; or, for a service with a health
// check, probes that say Unhealthy. Recovering counts from zero and judges as
// Normal does: one 503 among a thousand good answers must not keep a service
// on old for forty minutes.
//
// The hold-off is recovery_time, doubled with each trip that comes before the
// last recovery has proved itself, to at most eight times recovery_time. It has
// when Normal has lasted for a calm period: as long as the last hold-off was,
// and at least one failure_window. With recovery_time 300 s:
//
//	00:00:00  5 failures in 12 s         FallenBack until 00:05:00
//	00:05:00  two probes pass            Recovering until 00:06:00
//	00:05:20  5 failures                 FallenBack until 00:15:20   (600 s)
//	00:15:20  probes fail                FallenBack, asked again every interval
//	00:18:00  two probes pass            Recovering until 00:19:00
//	00:19:00                             Normal; calm at 00:29:00
//	00:27:00  5 failures                 FallenBack until 00:47:00   (1200 s)
//
// Old is the side that worked before, so what its probes say moves nothing,
// with one exception: while nobody even answers connections at old (scaled
// down after a migration to 100 %, say), an automatic trip would turn five
// failures into an outage, and is held back. It is made as soon as old is
// back and the cause still stands. An operator's trip is never held back.
//
// The package is pure: standard library only. It may be imported by proxy,
// api, watcher and cmd.
package fallback
