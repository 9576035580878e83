// Package ramp decides how the share of a service rises step by step: up while new is at
// least as good as old at the same time, down when it is not.
//
// Takes:
//   - a Config of the service: its ramp, and its percentage, which is the ceiling
//   - what the replicas measured since the Step before (Slot), added up
//   - gates that the caller knows: checks, other services, what is served
//   - a Command of a person
//   - the time
//
// Gives:
//   - a State that can be written as JSON, with the position
//   - a Decision with its reason and the evidence
//
// Refuses:
//   - to read a clock, a file or the network
//   - to rise without a good verdict, except from 0, after no_data, and by skip
//   - to be above the ceiling after any Step
//   - a stored State that no Step can have made
//
// # Phases
//
// A Step makes at most one transition. It takes the first row whose condition holds:
//
//	phase       condition                                 next phase           position
//	any         no ramp, disabled, percentage 0           Off                  0
//	any         the position is above percentage          Measuring            percentage
//	any         a person skips, goes back                 Rising, Returning    next, previous
//	any         the service has fallen back               Waiting              the same
//	Waiting     it has come back                          Measuring            one step lower
//	Returning   the next portion is due                   Returning, Cooling   falls
//	any         new is bad                                Returning            falls
//	Cooling     the cooling is not over                   Cooling              the same
//	any         not in sync, held, old is ill             Waiting              the same
//	any         the last step                             Done                 the same
//	any         the ceiling                               Waiting              the same
//	any         hold or evidence is missing               Measuring            the same
//	any         freeze, window, dependency, check, ask    Waiting              the same
//	any         otherwise                                 Rising               the next step
//
// Rising becomes Measuring when every replica serves the position. The slot of that
// moment has requests from before, so the evidence and the hold begin after it.
//
// # The judge
//
// Two measures have the same test, see Tally: requests that failed, and requests that
// were slower than a bound which was fixed before. Bad needs one of them, good needs
// both. With strategy user_hash the unit is a user's bucket, and each bucket counts
// once in a step: a client that always fails says nothing about a side.
package ramp
