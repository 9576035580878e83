// Package listen has the addresses that the programs listen on.
//
// Takes:
//   - the text of a flag, ":PORT" or "ADDRESS:PORT"
//
// Gives:
//   - an Address, which is a flag value of cobra
//   - a listener, or an error that says which flag to change
//   - the error of two flags that name the same port
//
// Refuses:
//   - host names: an address is an IP address
package listen
