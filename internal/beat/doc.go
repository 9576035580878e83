// Package beat makes the loops of one process wake up together. A loop that polls each
// 100 ms costs little by its work and much by its wake-ups: threads that sleep and are woken.
// Loops that wait here fire at full multiples of their intervals of the wall clock, so that
// the process wakes up ten times a second, however many loops there are.
//
// Takes:
//   - an interval
//
// Gives:
//   - a channel that receives the time at the next multiple of the interval, like time.After
//
// Refuses:
//   - nothing
package beat
