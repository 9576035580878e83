// Package controlplane runs a real Kubernetes control plane on this machine:
// etcd, kube-apiserver and, when asked, kube-controller-manager and
// cert-manager. No Docker, no registry.
//
// Takes: the programs that `make controlplane` builds into bin/controlplane,
// or those in the folder that KUBEBUILDER_ASSETS names.
//
// Gives: clients and a kubeconfig of the administrator, clients that act as a
// user or a service account, and an API server that can go away for a while
// and come back with its data.
//
// Refuses: to leave anything behind. Its programs end with the program that
// started them, however that ends. What could not be removed then, the next
// start removes. Data is not synced to disk, so it is no place to keep
// anything.
//
// Tests of every package may import it, and so may programs that show a
// cluster, so it never imports testing. For Pods see e2e/localcluster.
package controlplane
