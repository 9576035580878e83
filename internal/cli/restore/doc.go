// Package restore gives Ingresses back as their users wrote them, without help
// of webhook and watcher.
//
// Takes:
//   - an installation
//   - one Ingress, or all of the cluster
//
// Gives:
//   - One: the Ingress restored and opted out, its companion deleted
//   - All: the migration paused, every Ingress restored, and every generated
//     companion Ingress, Service and EndpointSlice deleted
//   - Resume: the pause ended
//   - PlanOne, PlanAll, PlanResume: what these would write, checked by the API server
//   - CheckHook: whether 'helm uninstall' runs this, or somebody applied its Job
//
// Refuses:
//   - to delete a Service while an Ingress that points at it cannot be restored
//   - to overwrite what a user edits meanwhile
//
// All takes these steps, each until it finds nothing more to do:
//
//	pause -> restore Ingresses, delete companions -> wait 10 s -> delete anchors and Services
package restore
