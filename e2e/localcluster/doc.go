// Package localcluster is a Kubernetes cluster of processes on this machine: the
// control plane of internal/controlplane and one node (e2e/podrunner).
//
// Takes:
//   - the programs that make controlplane builds
//   - the path of a binary for each image
//
// Gives:
//   - a cluster in network, mount and PID namespaces of its own ([Isolate]), which
//     ends with the program that started it, even when that is killed
//
// Refuses:
//   - to start outside [Isolate]
//
// It never imports testing, because the demo uses it as well.
package localcluster
