// Package controlplane runs a real Kubernetes control plane on this machine: etcd,
// kube-apiserver and optionally kube-controller-manager and cert-manager. It needs no
// Docker and no registry.
//
// Takes:
//   - the programs that make controlplane builds into bin/controlplane, or those in the
//     folder that KUBEBUILDER_ASSETS names
//
// Gives:
//   - a client configuration and a kubeconfig of the administrator
//   - client configurations of users and service accounts
//   - an API server that can stop and start again with its data
//
// Refuses:
//   - to leave anything behind: its programs end with this process, even when that is
//     killed, and the next start removes what could not be removed then
//   - to keep data: etcd does not sync to disk
//
// It never imports testing, because programs use it as well. For Pods see
// e2e/localcluster.
package controlplane
