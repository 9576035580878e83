// Package wire has the JSON of the actors' control ports, and the names that scenarios and
// actors share.
//
// Takes and gives plain values.
package wire
