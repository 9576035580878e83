// Package ui serves the page on a loopback address: the state of all replicas of a
// cluster, with the rights of the user who started it.
//
// Takes:
//   - an installation, and a port
//
// Gives:
//   - the page of package page, at an address that nobody can guess
//
// Refuses:
//   - everybody who does not know the address: other users of the machine reach the same
//     port, and would see with the rights of this one
//   - a Host header other than 127.0.0.1 and localhost
//   - to write anything
package ui
