// Package history keeps the last six hours of each service with traffic, a point for
// each minute, in a bounded ring in memory.
//
// Takes:
//   - the rows of a status, once a minute
//   - the documents of several replicas, to add up
//
// Gives:
//   - a Document: share, rates, failures and the 99th percentile of both sides
//
// Refuses:
//   - to grow: a service takes 9.5 KB from its first request on, and at most 1,000 services
//     have a history, 9.6 MB. The document of one more says why it has none
//   - to survive a restart, and to write a file
package history
