// Package finish tells whether a migration can end: what is done, what is missing, and
// the way to it.
//
// Takes:
//   - facts about one service: its replicas, its journal, how new answers under old_host,
//     and the DNS records of old_host
//
// Gives:
//   - a checklist: each item is done, not done or not known, with the reason and the way
//     out
//   - the lines that hand the DNS records over
//   - manifests for the new cluster
//
// Refuses:
//   - to guess: what the facts do not say is not known
package finish
