// Command actor plays everything around the migration proxy in a scenario:
// the applications of both clusters, the ingress controller of the old one,
// and the clients. It is one small binary, so that one image without a base
// is enough on any cluster.
//
//	actor backend --name old [--tls]   answers with its name, fails on demand
//	actor controller --class e2e       a small ingress controller
//	actor traffic --target HOST:PORT   sends requests and counts
//
// Each role has a control port (wire.ControlPort), which the scenarios reach
// through the API server's pods/proxy: so they need no way into the pods'
// network.
//
// Takes: flags, and for the controller the cluster it runs in. Gives: JSON of
// package wire. Refuses: to retry anything as a client, to send a POST twice as
// a controller, and to count anything that did not happen. It imports
// client-go, internal/testbed and wire; nobody imports it.
package main
