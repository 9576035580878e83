// Package localramp moves the ramps of a proxy that serves a local file: it is the leader
// of its one replica.
//
// Takes:
//   - the table in force, the phases of its services, and what was counted
//   - commands of people, from a file that only the agent's own user can write
//
// Gives:
//   - a position for each service with a ramp, at each tick
//   - the file ramp.json with the data that ConfigMap migration-ramp has in a cluster:
//     positions and states. It is written before a position is believed, so that a
//     restarted agent continues where the one before was
//   - a log line for each transition
//   - the problem that the file cannot be written: the ramps then stay where they are,
//     and go on with what was measured meanwhile
//
// Refuses:
//   - to decide: package ramp does
//   - a state that cannot be read: that ramp begins at 0, and the log says so
package localramp
