// Package world is the stage of the scenarios: a cluster, one installation of
// the chart, and for each scenario a site of its own (namespace, old and new
// application, service in the migration config).
//
// Takes: a cluster. MIGRATION_PROXY_E2E_KUBECONFIG names one on which the
// images are loaded and cert-manager runs; otherwise internal/controlplane
// makes one of this machine's processes. Gives: what users and clients of a
// cluster do: kubectl, helm and our own commands as programs, requests through
// an ingress controller, and waiting for what must come to pass. Refuses: to
// look inside: everything is seen through the API server or by a request.
//
// It imports clients, internal/controlplane and wire. The scenarios and the
// demo import it; so T is an interface, not testing.T.
package world
