// Package report prints the history of a migration from its journal.
//
// Takes:
//   - the entries of the journal
//
// Gives:
//   - the steps of each service and the timeline, as Markdown, HTML in one file, or JSON
//
// Refuses:
//   - nothing: an entry without evidence is a line without figures
package report
