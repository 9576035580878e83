// Package status has the two documents with which processes share their state:
//
//   - Status is the state of one proxy replica. The data plane fills it in,
//     /status serves it, the CLI prints it and the watcher reads it.
//   - Cluster is what all replicas together serve. The watcher writes it to
//     the ConfigMap migration-state; admission and the CLI read it.
//
// Takes and gives:
//   - plain values
//
// Refuses:
//   - a text of Cluster that is not JSON; the error names the key
//
// The JSON names of the fields are published: fields are added, but never
// renamed or removed. The package is pure: it imports the standard library only.
package status
