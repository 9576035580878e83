// Package ingressgen computes what an opted-in Ingress must become, and the
// objects that go with it: the proxy Service and its EndpointSlices in the
// Ingress's namespace, and in mode canary the companion Ingress, with a Service
// of its own.
//
// Takes: an Ingress as it is (rewritten or not), and a View: the migration
// table and what the replicas serve. Gives: a Report with the smallest list of
// JSON Patch edits that leads from what is to what must be, warnings for what
// is not rewritten, and the reason of each decision. Refuses: to touch what it
// was not asked to: paths, hosts, annotations and fields that belong to no
// service of the table, list order, fields that it does not know.
//
// Rewrite is the one function. It first undoes, in its mind, what an earlier
// one did (annotation original says what that was), then decides for the
// Ingress as the user wrote it. So it is idempotent, and Release is a Rewrite
// of an Ingress that has not opted in:
//
//	Release(Rewrite(x)) == x          also when the user edited it in between
//	Rewrite(Rewrite(x)) == Rewrite(x)
//
// Two things that a user can do cannot be told from our own: writing the very
// value that we put there, and renaming several paths of a host at once while
// they point at us. Then the best guess is taken, with a warning.
//
// The decisions are lists: refusals look at the whole Ingress, guards at one
// path, table at the annotations of ingress-nginx, steps puts them in order.
// An Ingress that has opted in says in annotations phase and reason where it
// is, also when nothing of it is rewritten. Only where its user could mend
// nothing in it (everything is paused, there is no config, it is cert-manager's)
// Rewrite is Release: nothing of ours stays in it.
//
// The package is pure: no client, clock or log. It imports migration, names, status
// and the API types. The webhook answers with the edits, the watcher sends
// them; both and the CLI may import it.
package ingressgen
