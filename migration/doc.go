// Package migration holds the nouns of the migration proxy and the one
// decision it exists for: which side, the old cluster or the new one,
// answers a request.
//
// Takes: text from a closed alphabet (Parse...), and a Request as plain
// values.
// Gives: a Table that is valid by construction, and for each Request a
// Decision: a Side and the Reason for it.
// Refuses: any text outside the alphabets, with an error that says what would
// be accepted. After parsing, every value is safe to print into an nginx
// config.
//
// The package is pure: it imports the standard library only and touches no
// client, file, clock, log or random source. Every room may import it.
package migration
