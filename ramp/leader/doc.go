// Package leader has what everybody needs who leads ramps: the watcher those of a
// cluster, and package localramp those of one proxy.
//
// Takes:
//   - the evidence of each replica, whose counters only grow (Meter)
//   - the addresses of ramp.check (Checks)
//   - commands as they are stored (Command)
//
// Gives:
//   - what package ramp takes: a Slot, what is not served, gates, a Command
//   - the entries of the journal about a step
//   - the position of a ramp with the bounds above which answers are slow
//
// Refuses:
//   - to decide, and to store anything
package leader
