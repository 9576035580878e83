// Package e2e has only tests: the scenarios of the migration proxy in a
// cluster, as black boxes. A scenario types what a user types (kubectl, helm,
// migration-proxy), sends requests through an ingress controller, and looks at
// what the API server says.
//
// Takes: a cluster, see package world. Gives: a verdict, and for a scenario
// that failed everything that can be seen of it. Refuses: to know any room of
// ours.
//
// Scenarios that break what others need come one after the other, before all
// that run in parallel.
package e2e
