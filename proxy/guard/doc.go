// Package guard is the second net at work: it keeps one fallback.Machine for
// each service, tells it what nginx's log and the probes say, and tells the
// agent when a service must leave new and when it may come back.
//
// Takes: tables, events of both logs (Urgent, Batch), commands of an
// operator, a health checker, the time.
// Gives: verdicts to Options.Verdict, at once; a state file, so that a restart
// neither forgets a fallback nor starts one; counts for /metrics.
// Refuses: to hold up traffic. When the state cannot be written it says so and
// trips all the same.
//
// A failure is urgent: nginx sends its line at once, on a datagram socket of
// its own (accesslog.Listen), because a service should be off new within
// milliseconds of its fifth. All else comes in batches. A service with a
// failure_ratio is judged by the batches alone: they are complete, and both
// numbers of a ratio must come from one source.
//
// Only cmd imports it.
package guard
