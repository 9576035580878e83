// Package guard is the second net at work: it keeps one fallback.Machine for
// each service, tells it what nginx's log and the probes say, and tells the
// agent when a service must leave new and when it may come back.
//
// Takes: tables, requests as both access logs tell of them (Urgent, Batch),
// lines of the error log (Complaint), commands of an operator, a health
// checker, the time.
// Gives: verdicts to Options.Verdict, at once; a state file, so that a restart
// neither forgets a fallback nor starts one; counts for /metrics.
// Refuses: to hold up traffic. When the state cannot be written it says so and
// trips all the same.
//
// A failure is urgent: nginx sends its line at once, on a datagram socket of
// its own (accesslog.Urgent), because a service should be off new within
// milliseconds of its fifth. All else comes in batches. A service with a
// failure_ratio is judged by the batches alone: they are complete, and both
// numbers of a ratio must come from one source.
//
// An answer that breaks off after it has begun is a success in the access log.
// Only the error log tells, which is read ten times a second. A line that is
// lost there (nginx writes more than 1 MB between two readings, about 3,000
// failures) leaves enough others.
//
// Only cmd imports it.
package breaker
