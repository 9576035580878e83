// Package e2e has only tests: scenarios that run the migration proxy in a cluster as a
// black box. A scenario runs the commands of a user (kubectl, helm, migration-proxy),
// sends requests through an ingress controller, and reads the API server.
//
// Takes:
//   - a cluster, see package world
//
// Gives:
//   - for a scenario that fails, the objects, Events and logs that explain it
//
// Refuses:
//   - to import any package of the product
//
// Scenarios that break what others need run one by one, before all parallel ones.
package e2e
