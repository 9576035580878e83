// Package faults has only tests: they break everything around and inside the proxy, and
// count what clients notice. The proxy is the built binary, "migration-proxy run", with the
// real nginx; backends speak http and https.
//
// Takes:
//   - the repository, from which it builds the binary
//   - MIGRATION_PROXY_FAULTS=long (make faults) for faults of minutes instead of seconds
//   - MIGRATION_PROXY_FAULTS_TABLE=FILE for the tables of docs/reliability.md
//
// Gives:
//   - for each fault the failed requests, the POSTs that arrived twice, the time until no
//     request fails any more, and the status
//
// Refuses:
//   - to repeat a request: a lost request counts as lost
package faults
