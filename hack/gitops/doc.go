// Package gitops has only a test: Argo CD's own diff library, and what Flux does,
// compare Ingresses that the webhook and the watcher rewrite on a real API server.
//
// Takes:
//   - the programs of make controlplane
//
// Gives:
//   - nothing
//
// Refuses:
//   - to be imported
package gitops
