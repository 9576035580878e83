// Package servicestate decides the state of each service over all replicas of
// the data plane: whether its Ingresses go through the proxy.
//
// Takes:
//   - what the replicas reported about themselves (kube.Replica), once a second
//   - the migration table, the state before, and the time
//
// Gives:
//   - ReplicaStatus: the last known status of each replica
//   - Resolve: the status.Cluster that follows from them
//
// Refuses:
//   - to change a state for what is not known: a replica that has not answered
//     yet, or one that is not ready for less than two seconds
package servicestate
