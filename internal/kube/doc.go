// Package kube reads from the Kubernetes API what several programs need: one
// named ConfigMap, a store of all objects of one kind, the proxy's replicas
// with their status, and the named ports of a Service.
//
// Takes:
//   - a kubeconfig, or a client of the cluster
//
// Gives:
//   - Connect: that client, from a kubeconfig or the pod's service account
//   - NamedConfigMap: each version of one ConfigMap. It comes by a watch,
//     because a mounted file is up to a minute late
//   - Store: the newest version of all objects of one kind, on client-go's
//     cache.Indexer, with the program's own writes
//   - Endpoints and FetchStatuses: the replicas and their status.Status
//   - FailureLog: one log line when something begins to fail, one when it ends
//
// Refuses:
//   - to write anything but one named ConfigMap (NamedConfigMap.Put)
//   - to read more than the objects that the caller names
//
// To follow a ConfigMap takes the verbs get, list and watch on it (a rule with
// resourceNames is enough). ThroughAPIServer takes get on pods/proxy.
package kube
