// Package webhook answers the admission requests of the API server. It keeps
// Ingresses rewritten that their users write again (the watcher alone points one at
// the proxy), and denies a migration config that would not load.
//
// Takes:
//   - the last good migration table and the state of the cluster, which
//     ConfigCache reads from two ConfigMaps
//   - AdmissionReviews of version v1
//
// Gives:
//   - the JSON Patch edits of ingressgen, on single values
//   - warnings for everything that is not rewritten
//   - all problems of a config, by line and column
//   - the webhook configurations that register it; a test compares the chart with
//     them
//
// Refuses:
//   - to stop a deploy: after any failure the Ingress passes unchanged with a
//     warning, and the watcher repairs it
//   - only the migration ConfigMap is ever denied
//
// The path of an Ingress: ServeHTTP reads the request (serve.go), ingressRewriter
// decodes it and calls ingressgen.Rewrite (ingress_rewriter.go), and the decision
// has the patch and the warnings (decision.go).
package webhook
