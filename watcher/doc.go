// Package watcher keeps the cluster as the migration config and the health of
// the replicas require. One instance runs: the leader's.
//
// Takes:
//   - ConfigMap migration-config
//   - the Ingresses, Services and EndpointSlices of all namespaces
//   - the /status of each replica, once a second
//   - the /evidence of each replica, every ten seconds while a service has a ramp
//   - key paused of ConfigMap migration-state
//
// Gives:
//   - the state of all services in ConfigMap migration-state, with the last
//     valid config that a replica served
//   - the edits of package ingressgen on each Ingress that opted in
//   - the companion Ingress of mode canary, with its Service
//   - a proxy Service for each old Service and port, with its EndpointSlices and anchor
//   - the positions of the ramps in ConfigMap migration-ramp
//   - Events and metrics
//
// Refuses:
//   - to write what already has the desired state
//   - to change an object that it needs by name but did not make
//   - to remember: what a new leader needs is in the cluster, in migration-state
//     and in annotation migration-proxy.io/original. Its memory only saves work
//
// A change of an object passes through the files in this order:
//
//	objects, object_changes.go            the followed objects; what a change queues
//	status_poller.go                      the status of the replicas
//	state_loop.go, config_state.go        one goroutine takes all inputs, the config among them,
//	servicestate                          and resolves the state of each service
//	state_store.go                        the state is written to migration-state, then published
//	desiredstate, ingress_index.go        what differs, and which Ingresses that affects
//	reconcile                             Ingresses, companions, proxy Services: rewritten and made
//	clusterramp                           ramps: the evidence of the replicas, ConfigMap migration-ramp
//	events, replica_warnings.go           what people see
//	metrics.go                            and their monitoring
//	state_journal.go, ingress_journal.go  what people read later: ConfigMap migration-journal,
//	clusterjournal                        which clusterjournal writes
//
// watcher.go connects them.
package watcher
