// Package watcher is the loop that keeps the cluster as the migration config
// and the proxies' health want it. One instance runs: the leader's.
//
// Takes: the migration ConfigMap, the Ingresses of all namespaces, the
// EndpointSlices of the proxy Service, each replica's /status once a second,
// and the pause in ConfigMap migration-state.
//
// Gives: the cluster's state in migration-state (and beside it the last config
// that was valid and that a replica served), the edits of package ingressgen on
// each opted-in Ingress, the companion Ingress of mode canary with its Service,
// the proxy's Service and EndpointSlices in every namespace that needs them,
// Events, and metrics.
//
// Refuses: to write what is as it must be already, to touch a Service, a slice
// or an Ingress of a name it wants that it did not make, and to remember:
// what a new leader needs stands in the cluster, in migration-state and in the
// annotation original. What it keeps in memory only spares work or time.
//
// The parts, from the inside out:
//
//	word.go verdict.go   pure: what the replicas said, what follows for each service
//	change.go index.go   pure: what a new view changes, and for which Ingresses
//	ownership.go         managedFields as they were before our write
//	owner.go             one goroutine owns the state
//	publish.go record.go it is written down, and published as the view
//	ingresses.go         a queue of Ingresses, brought to what the view wants
//	mirror.go fill.go    a queue of our Services, with their slices
//	asker.go             the replicas' status, once a second or when it matters
//	shelf.go work.go     the newest version of each object; a queue with retries
//	assemble.go          who is wired to whom
//
// It imports the pure rooms, config, cluster, client-go and Prometheus. Only
// cmd imports it.
package watcher
