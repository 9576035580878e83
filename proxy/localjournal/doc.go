// Package localjournal is the journal of a proxy that serves a local file.
//
// Takes:
//   - the file journal.json of the runtime directory, with the keys of ConfigMap
//     migration-journal
//
// Gives:
//   - the journal in it; an empty one without the file
//
// Refuses:
//   - a file that is no journal
package localjournal
