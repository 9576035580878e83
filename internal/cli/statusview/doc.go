// Package statusview prints the status of one proxy or of all replicas of a
// cluster: as a table for people, as JSON or YAML for programs, once or again
// and again.
//
// Takes:
//   - a Source: one proxy (FromProxy) or an installation (FromCluster)
//   - a Format, and the one service to show, if not all
//
// Gives:
//   - text on the writer
//
// Refuses:
//   - a service that nobody serves
//
// A table has one row per service, with old and new as "old/new":
//
//	2 of 2 replicas ready, all serve 0123456789abcdef of migration-proxy/migration-config
//
//	NAME  HOST              PATH  SHARE  OBSERVED     PHASE      RPS old/new  ...
//	shop  shop.example.com  /     20%    19.8% 20.1%  Migrating  80.2/19.9    ...
//
//	shop: new.example.com:443: no such host
package statusview
