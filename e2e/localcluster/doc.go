// Package localcluster is a Kubernetes cluster of this machine's processes: the
// control plane of internal/controlplane and one node (e2e/podrunner) whose
// Pods are processes with addresses of their own.
//
// Takes: the programs that `make controlplane` builds, and the path of a binary
// for each image.
//
// Gives: a cluster that ends with the program that started it, however that
// ends: all of it lives in network, mount and PID namespaces ([Isolate]).
//
// Refuses: to start outside [Isolate].
//
// Tests and programs that show a cluster import it, so it never imports testing.
package localcluster
