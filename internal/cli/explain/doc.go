// Package explain says which side would get a request, and why. It is the
// decision that nginx takes, computed from the config: no request is sent.
//
// Takes:
//   - a Question: the request as the user describes it
//   - the table of the migration config
//
// Gives:
//   - an Answer, as text for people or as JSON
//
// Refuses:
//   - a description that is no request; the error names the flag
//
// A request that belongs to no service has an answer too: 400, 404 or 421.
package explain
