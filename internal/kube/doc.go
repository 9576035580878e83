// Package cluster is what the parts ask of the Kubernetes API in common: one
// named ConfigMap followed, and the proxy's replicas found and asked.
//
// Takes: a client of the cluster. Gives: each version of a ConfigMap as it
// comes (the API server's word, not a mounted file's: that takes a minute),
// the replicas' endpoints and their status.Status. Refuses: to write
// anything, and to read more than the named objects.
//
// Following needs the verbs get, list and watch on the one ConfigMap
// (resourceNames works); asking through the API server needs get on pods/proxy.
//
// It imports names, status and client-go. The data plane's composition, webhook,
// watcher and the CLI may import it.
package kube
