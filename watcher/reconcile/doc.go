// Package reconcile makes Ingresses, Services and EndpointSlices equal to the desired
// state.
//
// Takes: the names of what must be reconciled, the desired state, and the objects of
// package objects.
//
// Gives: patches of Ingresses that opted in; their companions; proxy Services with
// EndpointSlices and anchors; Events; and for each Ingress a Result.
//
// Refuses:
//   - to write what already has the desired state
//   - to change an object that it needs by name but did not make
//
// reconcilers.go puts together what is in ingresses.go and services.go. Below them are
// patcher.go, companions.go, service_objects.go and anchors.go, which write.
package reconcile
