// Package drill rehearses the fallback of a service, at the share that it has.
//
// Takes:
//   - an installation, or one proxy that serves a local file
//
// Gives:
//   - the time until new got its last request, and until the share was back
//   - what clients got meanwhile
//   - the drill and its result, where the journal's writer finds them
//
// Refuses:
//   - a service that is not healthy, or of which nothing goes to new
//   - to leave a service at old: each replica ends the drill by itself at its time
package drill
