// Package webhook answers the API server's admission requests: it rewrites
// opted-in Ingresses as they are written, and refuses a migration config that
// would not load.
//
// Takes: a View (the last good migration table and the cluster's state, kept
// up to date by Follow) and the API server's requests. Gives: JSON Patch edits
// that ingressgen computed, on the very elements that change; warnings for
// what is not rewritten; every problem of a config, by line and column.
// Refuses: to stop anybody's deploy. Whatever goes wrong on the way, the
// Ingress passes as it came, with a warning, and the watcher repairs it. Only
// the migration ConfigMap is ever denied.
//
// Configurations is where the webhook's registration is decided; the chart is
// tested to equal it.
//
// It imports migration, status, config, ingressgen and cluster. Only the
// composition root may import it.
package webhook
