// Command demo is make demo-cluster: it runs a whole migration in a cluster with the
// commands of a user, and checks each claim against the API server and the clients.
//
// Takes:
//   - the cluster of package world
//
// Gives:
//   - the story on standard output
//   - exit status 1 when a claim does not hold, 130 after Ctrl-C
//
// Refuses:
//   - to leave anything behind
package main
