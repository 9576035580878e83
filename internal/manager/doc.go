// Package manager puts the second process of an installation together:
// admission on every replica, and the watcher on the one that is the leader.
//
// Takes:
//   - a connection to the cluster, the addresses to listen on, the directory of
//     the webhook's certificate (Options)
//   - signals: SIGTERM and SIGINT drain and end, a second one ends at once
//
// Gives:
//   - the webhooks, by TLS
//   - the watcher, while this replica holds the lease
//   - the HTTP API: /health, /ready and /metrics
//
// Refuses:
//   - to start when something is wrong that waiting would not heal, a port in
//     use for example. An API server that is away, or a certificate that is not
//     issued yet, is no such reason: /ready says what is missing.
//
// The parts and what flows between them:
//
//	ConfigMaps -> cache ---> admission <- API server (TLS <- certificate <- files)
//	admission -> notes of who made which change -> ConfigMap migration-audit -> watcher
//	lease -> leader --> watcher -> Ingresses, Services, migration-state
//	                       +-> HTTP API: metrics
package manager
