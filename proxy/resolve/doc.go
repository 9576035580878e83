// Package resolve turns the names of backends into addresses and refreshes
// them, so that nginx itself never resolves a name: a name without an address
// takes down one side of one service, and not the start of nginx.
//
// Takes:
//   - the backends of a table
//   - a Lookup, such as net.Resolver
//
// Gives:
//   - a Result: sorted addresses, and the errors of the last lookups
//   - a signal when addresses have changed
//
// Refuses:
//   - to drop addresses because of an error: a failed lookup keeps the last
//     good addresses, however old they are
//   - to drop an address at once that a good answer lacks: some servers return
//     a changing part of their addresses, which would otherwise reload nginx
//     every few seconds. Where addresses come back, they stay for an hour, as
//     long as they accept connections
package resolve
