// Package localjournal is the journal of a proxy that serves a local file. In a cluster the
// watcher writes it.
//
// Takes:
//   - the config in force and the state of its services, once a second
//   - entries about ramps, and the orders of drills
//
// Gives:
//   - the file journal.json of the runtime directory, with the keys of ConfigMap
//     migration-journal. It is bounded, has one writer, and a restarted agent goes on with it
//   - the journal in it (Read)
//
// Refuses:
//   - a file that is no journal: the writer begins again, and the log says so
package localjournal
