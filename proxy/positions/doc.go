// Package positions keeps the agent in step with the positions of the ramps.
//
// Takes:
//   - the versions of status.Positions, from ConfigMap migration-ramp or from the ramps
//     of this process
//
// Gives:
//   - the position of each service to the agent, which limits the share by it
//   - the drills of that ConfigMap to the circuit breaker
//   - the bounds above which answers are slow to the counters
//   - the file of positions, from which a restarted agent continues while nothing else is
//     known
//
// Refuses:
//   - a position that is no percentage: the service keeps the one it had
//   - to forget: a service that a version does not name, and a version that cannot be
//     read, leave positions as they are until the table has no such ramp any more
package positions
