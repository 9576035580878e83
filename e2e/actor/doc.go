// Command actor is everything around the migration proxy in a scenario: the backends of
// both clusters, the ingress controller of the old one, and the clients. It is one static
// binary, so an image without a base image is enough.
//
//	actor backend --name old [--tls]   answers with its name, fails on demand
//	actor controller                   a small ingress controller with four personas
//	actor traffic --target HOST:PORT   sends requests and counts the answers
//
// Each role has a control port (wire.ControlPort). The scenarios reach it through the API
// server's pods/proxy, so they need no access to the network of the Pods.
//
// Takes:
//   - flags, and for the controller the cluster in which it runs
//
// Gives:
//   - the JSON of package wire
//
// Refuses:
//   - to retry anything as a client, and to send a POST twice as a controller
package main
