// Package world has what all scenarios need: a cluster, an installation of the chart, and
// for each scenario an App of its own (namespace, old and new backend, service in the
// migration config).
//
// Takes:
//   - the cluster of MIGRATION_PROXY_E2E_KUBECONFIG, whose nodes have the images and
//     where cert-manager runs
//   - without that variable, the programs of make controlplane for a local cluster
//
// Gives:
//   - the commands of users: kubectl, helm and migration-proxy as programs
//   - requests through an ingress controller, and their results
//   - functions that wait for a state
//
// Refuses:
//   - a cluster with an installation or another run
//   - to look inside programs: it uses only the API server and requests
//
// T is an interface and not testing.T, because the demo uses this package as well.
package world
