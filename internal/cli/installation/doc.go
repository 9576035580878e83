// Package installation reads the state of the migration proxy in one cluster,
// with the rights of the user who runs the command.
//
// Takes:
//   - a connection to the cluster (kube.Cluster)
//
// Gives:
//   - the migration config of the ConfigMap
//   - what the watcher has recorded (status.Cluster)
//   - every replica of the data plane with its own status
//   - for a request that RBAC refuses: the kubectl commands that grant the right
//
// Refuses:
//   - to write anything
package installation
