// Package status holds the two documents by which processes tell one another
// how things are: Status, one proxy replica's (the data plane fills it, /status
// serves it, the CLI prints it, the watcher reads it), and Cluster, what all
// replicas together serve (the watcher writes it to ConfigMap migration-state,
// admission and the CLI read it).
//
// Takes and gives: plain values.
// Refuses: a text of Cluster that is no JSON, with an error that names the key.
//
// Field names are an interface: they are only ever added to. The package is
// pure: standard library only. Every room but migration may import it.
package status
