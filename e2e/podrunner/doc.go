// Package podrunner is a small kubelet for machines without a container runtime: it
// registers a Node and runs the containers of Pods as processes of this machine.
//
// Takes:
//   - an API server
//   - a binary for each image
//   - a network bridge
//
// Gives:
//   - each Pod an address and a network namespace of its own
//   - each container an overlay of this machine's files, its volumes, user and
//     environment, probes, preStop hook, SIGTERM and grace period, and restarts
//   - the Pod status, from which kube-controller-manager makes EndpointSlices
//   - DNS for Services, and a TCP proxy on their ClusterIPs
//   - the answers to kubectl logs
//
// Refuses (the Pod waits and its status says why):
//   - images without a binary
//   - volumes other than emptyDir, configMap, secret, projected and downwardAPI
//
// Not implemented: pulling images (a container sees this machine's files);
// scheduling (all Pods are bound to this Node, also those whose affinity forbids it);
// resource limits, capabilities, seccomp and NetworkPolicies; restart pauses as long as
// Kubernetes' (here at most 5 s); UDP for ClusterIPs; sidecar init containers; gRPC
// probes; kubectl exec and port-forward.
//
// It runs inside localcluster.Isolate: when that ends, all processes, mounts and
// interfaces end. It never imports testing.
package podrunner
