// Package ingressgen computes how an opted-in Ingress must change so that its
// requests reach the proxy, and the objects that this needs: the proxy Service
// and its EndpointSlices in the namespace of the Ingress and, in mode canary, a
// companion Ingress with a Service of its own.
//
// Takes:
//   - an Ingress, rewritten or not
//   - a View: the migration table and the state of the services in the cluster
//
// Gives:
//   - a Report with the smallest list of JSON Patch edits to the desired Ingress
//   - the companion Ingress, and the names of the Services that must exist
//   - warnings for everything that is not rewritten, and the reason of each
//     decision
//
// Refuses:
//   - to edit paths and hosts that belong to no service of the table
//   - to edit other annotations, the order of lists, and fields that it does not
//     know
//
// # Rewrite and Release
//
// Rewrite first finds out what the user wrote (annotation original has every
// value that an earlier Rewrite replaced), and then decides as if the Ingress
// had never been rewritten. So it is idempotent, and Release undoes it, also
// when the user has edited the Ingress in between:
//
//	Rewrite(Rewrite(x)) == Rewrite(x)
//	Release(Rewrite(x)) == x
//
// Two edits of a user look like the proxy's own: writing the very value that the
// proxy put there, and renaming several rewritten paths of a host at once. Then
// Rewrite takes the most likely original, with a warning.
//
// # Order of decisions
//
// The steps of Rewrite, in this order:
//
//	findOriginals     what the user wrote                    original.go
//	checkIngress      ingressChecks: refuse the whole one    checks.go
//	matchServices     pathChecks: the service of each path   pathchecks.go
//	resolveStates     the phase of each service              rewrite.go
//	checkAnnotations  table: annotations of ingress-nginx    catalog.go
//	checkProtocols    both sides speak the same protocol     protocol.go
//	waitForWatcher    the proxy Service must exist           admission.go
//	planCanary        mode canary: the companion             canary.go
//	checkAdjusted     adjusted annotations hold for all      catalog.go
//	summarize         phase and reason of the Ingress        rewrite.go
//	finish            the edits                              rewrite.go, patch.go
//
// An opted-in Ingress has its phase and reason in annotations, also when nothing
// of it is rewritten. If the reason is nothing that its user could mend (the
// migration is paused, there is no config, it belongs to cert-manager), Rewrite
// is Release and the Ingress keeps no annotation of the proxy.
//
// The package is pure: no client, clock or log.
package ingressgen
