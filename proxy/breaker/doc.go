// Package breaker is the circuit breaker. It holds one fallback.Machine for
// each service, passes in what nginx's logs and the probes say about new, and
// directs the agent when a service leaves new and when it comes back.
//
// Takes:
//   - the table that is in force
//   - requests from the two access logs (ObserveFailure, ObserveRequest) and
//     lines of the error log (ObserveErrorLog)
//   - commands of an operator, over a unix socket
//   - the results of package health, and the time
//
// Gives:
//   - the phase of each service to the Agent, at once
//   - a state file, so that a restart neither forgets a fallback nor starts one
//   - the number of transitions for /metrics
//
// Refuses:
//   - to delay traffic: when the state file cannot be written, the breaker
//     logs an error and trips all the same
//
// A failure passes through this package as follows:
//
//	nginx writes a line        -> accesslog.FailureSocket parses it
//	Breaker.ObserveFailure     counts it in the fallback.Machine of the service
//	fallback.Step              decides, and gives a Transition
//	Breaker.apply              writes the state file, then calls
//	Agent.SetFallback          which sends the service's traffic to old
//
// nginx sends the line of a failure at once, to a datagram socket of its own,
// because a service must leave new within milliseconds of its last allowed
// failure. All other lines come in batches. A service with a failure_ratio is
// judged by the batches alone: they are complete, and both numbers of a ratio
// must come from one source.
//
// The access log calls an answer that breaks off after it has begun a success.
// Only the error log says that it broke off; it is read ten times a second. A
// line is lost there when nginx writes more than 1 MB between two readings,
// about 3,000 failures, and leaves enough others.
package breaker
