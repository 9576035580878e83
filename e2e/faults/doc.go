// Package faults has only tests: what clients notice while everything around
// and inside the proxy is broken on purpose. The proxy is the built binary,
// "migration-proxy run", with the real nginx; backends speak http and https.
//
// Takes: nothing; it builds the binary itself.
// Gives: for each fault the number of failed requests, of POSTs that arrived
// twice, the time until no request fails any more, and what the status says.
// Refuses: to retry. A request that was lost is counted as lost.
//
// A run of "go test" tries each fault for seconds. MIGRATION_PROXY_FAULTS=long
// (make faults) tries for minutes, and MIGRATION_PROXY_FAULTS_TABLE=FILE
// writes down the table that docs/reliability.md shows.
//
// Nobody imports it.
package faults
