// Package wire is what the scenarios and the actors say to each other: the
// JSON of the actors' control ports, and the names that both sides use.
//
// Takes and gives plain values; it does nothing. Only e2e and its packages
// import it.
package wire
