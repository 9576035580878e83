// Package ramps shows where the ramps are, takes commands of people to them, and waits
// for them.
//
// Takes:
//   - a Source: the installation in a cluster with the user's rights, or the runtime
//     directory of a proxy that serves a local file
//
// Gives:
//   - a row for each service with a ramp, as a table or JSON (Show)
//   - a command in ConfigMap migration-ramp, or in the runtime directory, and what became
//     of it (Send)
//   - the moment when a ramp has reached a step (Wait)
//
// Refuses:
//   - to move a share: the leader of the watcher does, or does not and says why
//   - to overwrite a command for another service that somebody gives at the same moment
package ramps
