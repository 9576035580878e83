// Package controlplane runs a real Kubernetes control plane on this machine:
// etcd, kube-apiserver and, when asked, kube-controller-manager, cert-manager
// and a node (internal/podrunner) whose Pods are processes. No Docker, no
// registry.
//
// Takes: the programs that `make controlplane` builds into bin/controlplane,
// or those in the folder that KUBEBUILDER_ASSETS names.
// Gives: clients and a kubeconfig of the administrator, clients that act as a
// user or a service account, and an API server that can go away for a while
// and come back with its data.
// Refuses: to leave anything behind. Programs end with the one that started
// them, however that ends; what it could not remove then, the next one does.
// Data is not synced to disk, so it is no place to keep anything.
//
// Tests of every room may import it, and so may programs that show a cluster;
// therefore it never imports testing. Start is enough for what talks to the
// API; NewWorld, inside Isolate, is for what needs Pods.
package controlplane
