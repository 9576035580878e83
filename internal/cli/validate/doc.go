// Package validate says what is wrong with a migration config, and what may surprise.
//
// Takes:
//   - the text of a config
//   - how many requests the services get, where somebody can tell
//
// Gives:
//   - the problems of a config that does not load
//   - notes: risky settings, and steps of ramps that cannot be judged, with their place
//
// Refuses:
//   - to guess how many requests a service gets
package validate
