// Package dataplane puts the proxy together: it wires the packages below proxy
// and runs them until the process is told to end.
//
// Takes:
//   - a source of the migration config, the addresses to listen on, the
//     runtime directory and the nginx binary (Options)
//   - signals: SIGTERM and SIGINT drain and end, a second one ends at once,
//     SIGHUP reads the config again
//
// Gives:
//   - an nginx that serves the config
//   - the HTTP API: /health, /ready, /metrics and /status
//   - the access log on standard output or in a file
//
// Refuses:
//   - to start when something is wrong that waiting would not heal: no nginx, a
//     port in use, a runtime directory of another user
//
// The parts and what flows between them:
//
//	source -> configsync -> agent -> nginx -> access.log -----> tail -> counters, standard output
//	                         |  ^      |                          |         |
//	                         |  |      +--> failures.sock --> breaker <-- probes
//	                         |  +------ service phases -----------+         |
//	                         +--------------- status -----------------------+--> HTTP API
package dataplane
