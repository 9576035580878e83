// Package clusterstatus adds the status of all replicas of one installation up
// to one document.
//
// Takes:
//   - an installation; or the replicas, the config table and the watcher's state
//
// Gives:
//   - Status, the document that `migration-proxy status -o json` prints
//
// Refuses:
//   - nothing: a replica that does not answer and a config that is not valid
//     are part of the document
//
// How the figures of two replicas add up:
//
//	                      replica a   replica b   both
//	requests per second   10          30          40      sum
//	observed share        10 %        40 %        32.5 %  mean, weighted by requests
//	split                 1 of 10     12 of 30    13 of 40    sums, since the later, if the share is the same
//	failed, P50           0 / 0.1 s   0.5 / 0.4 s         means, weighted by requests
//	P99                   0.5 s       0.2 s       0.5 s   the largest
//	phase                 Migrating   FallenBack  FallenBack (status.Phase.WorseThan)
package clusterstatus
