// Package drills follows the drills of a proxy that serves a local file. In a cluster they
// are in ConfigMap migration-ramp.
//
// Takes:
//   - the file drills.json in the folder of the control socket, which only the agent's own
//     user may enter
//
// Gives:
//   - the newest drill of each service to the circuit breaker
//
// Refuses:
//   - a file that cannot be read: drills under way end at their time
package drills
