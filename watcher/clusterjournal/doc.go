// Package clusterjournal writes the journal of a cluster: ConfigMap migration-journal.
// proxy/localjournal writes that of a local config.
//
// Takes: entries, and states of all services, whose differences are entries.
//
// Gives: the ConfigMap with the entries and with who made each change, as admission notes
// it; an Event for each change that somebody made; and the notifications of
// global.notify.
//
// Refuses: to let anybody wait for the API server, and to write a version of the
// ConfigMap that it has not read.
package clusterjournal
