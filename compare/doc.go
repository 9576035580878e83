// Package compare says in what the answers of old and new differ, and why.
//
// Takes:
//   - a Sample: one request, and the answers of old, of new, and of old again
//
// Gives:
//   - Judge: the fields in which new is the odd one out, each with a named cause, and
//     those that are noise
//   - a Tally of many samples by route; tallies of several replicas add up
//   - a Report: findings that are not noise, how much of the traffic they are about, and
//     how much slower new is
//
// Refuses:
//   - to keep a value of a query, of a cookie or of a body: a Tally has names, paths and
//     the values of the few headers that configure browsers and caches
//
// # Noise
//
// Old is asked twice, so each field has three values. If chance alone decides which
// answer is the odd one, each of the three is it equally often:
//
//	old  new  again   new is     counts as
//	a    a    a       the same
//	a    b    a       odd        difference
//	a    a    b       the same   noise
//	b    a    a       the same   noise
//	a    b    c       unknown    noise
//
// A difference must be confirmed by a second look at the same request; one that is not is
// noise. A field of a route is a finding if its differences are too many for the noise of
// that field, see surely.
//
// The package is pure: no client, file, clock or log.
package compare
