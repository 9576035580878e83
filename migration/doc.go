// Package migration has the domain types of the migration proxy, and the decision
// that they are for: which side, the old cluster or the new one, answers a request.
//
// Takes:
//   - text from a closed alphabet, in the Parse functions
//   - a Request, as plain values
//
// Gives:
//   - a Table that is valid by construction
//   - for each Request a Decision: a Side, and the Reason for it
//
// Refuses:
//   - any text outside the alphabets, with an error that names the allowed characters
//
// After parsing, every value is safe inside the text of an nginx configuration.
//
// The package is pure: it uses no client, file, clock, log or random source.
package migration
