// Package objects has the objects of the cluster that the watcher follows, and looks
// things up in them.
//
// Takes: the Ingresses, IngressClasses, Services and EndpointSlices of all namespaces.
//
// Gives: stores with indexes, and of objects that have nothing to do with the migration
// proxy only what may matter; which objects are ours; the neighbors of an Ingress and the
// named ports of Services, as package ingressgen asks for them.
//
// Refuses: to decide what becomes of an object.
package objects
