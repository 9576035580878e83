// Package journal is the history of a migration: what happened to which service, why,
// and who did it.
//
// Takes:
//   - entries, and two states between which the changes are entries
//
// Gives:
//   - a list that stays within its bounds, and its text for a ConfigMap or a file
//   - the sentence of an entry
//
// Refuses:
//   - a text that is not a journal
//
// In a cluster the watcher's leader writes ConfigMap migration-journal, in local mode
// the proxy writes a file. The JSON names of the fields are published: fields are added,
// but never renamed or removed. The package is pure.
package journal
