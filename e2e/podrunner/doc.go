// Package podrunner is a small kubelet for machines without a container
// runtime: it registers a Node and runs the containers of Pods as processes of
// this machine.
//
// Takes: an API server, the binary that stands for each image, a bridge.
// Gives: each Pod an address and a network namespace of its own; each
// container a private view of this machine's files (an overlay: what it
// writes, nobody else sees), its volumes at their mountPath, its user, its
// environment, probes, preStop, SIGTERM and grace period; restarts; Pod
// status, from which kube-controller-manager makes EndpointSlices; names of
// Services by DNS and their ClusterIPs by a TCP relay.
// Refuses (the Pod waits, its status says why): images without a binary and
// volumes other than emptyDir, configMap, secret, projected and downwardAPI.
//
// It does not: pull images (the binary sees this machine's files, not an
// image's), choose between nodes (unscheduled Pods are bound to ours, whatever
// their affinity says), enforce resources, capabilities, seccomp or
// NetworkPolicies, restart with pauses as long as Kubernetes' (at most 5 s),
// relay UDP, run sidecar init containers or gRPC probes, or answer kubectl
// exec and port-forward (it answers kubectl logs).
//
// Run it inside localcluster.Isolate, whose end takes all processes, mounts
// and interfaces along. Tests and programs that show a cluster may import it;
// it never imports testing.
package podrunner
