// Package notifier tells addresses what happened: it sends entries of the journal.
//
// Takes:
//   - targets of the migration config, whose address is in a file
//   - entries that were just written to the journal
//
// Gives:
//   - a POST for each entry that a target wants, in the background, in order
//   - counts of what was sent, what failed, and what was dropped
//
// Refuses:
//   - to wait: a full queue drops the entry
//   - to follow a redirect, and to show an address in a log or an error
//
// Each entry is sent at most once to an address. The journal is the record: an entry is
// in it once, and the one watcher whose write made it sends it. So a tried entry is tried
// again only when the address surely has not taken it.
package notifier
