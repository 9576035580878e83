// Package scan tells for all Ingresses of a cluster, before anything is installed,
// what would become of each if its user opted it in, and which migration config that
// would need.
//
// Takes:
//   - Objects: Ingresses, and the IngressClasses and Services that they name
//   - a migration table: that of the cluster, of Suggest, or both
//
// Gives:
//   - Suggest: the services of a migration config in which everything goes to old
//   - Examine: a verdict on each path and each Ingress, with the reasons that
//     admission and the watcher would give
//
// Refuses:
//   - to decide anything itself: ingressgen.Examine, which is ingressgen.Rewrite,
//     decides, with a View in which every service is served and no replica fails
//
// The package is pure: no client, file, clock or log.
package scan
