// Package connections limits the connections of one address, and of all, to a server that
// anybody may reach.
//
// Takes:
//   - a listener, and the states of the connections of its http.Server
//
// Gives:
//   - a listener that closes a connection without a request for a new one, when there are too many
//
// Refuses:
//   - a connection when all others of its address, or of the address with the most, have a
//     request
package connections
