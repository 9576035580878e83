// Command demo is `make demo-cluster`: a whole migration in a cluster, typed
// as a user types it, with every claim checked against what the API server
// says and what clients got.
//
// Takes: the cluster that package world makes or is given. Gives: the story on
// standard output; the exit status is 1 when a claim did not hold, 130 when the
// user broke off. Refuses: to leave anything behind. Nobody imports it.
package main
