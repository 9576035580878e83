// Package check tells whether an installation works, by asking its parts.
//
// Takes:
//   - an installation, and how long its parts may take to become ready
//
// Gives:
//   - a line for each part that works; the error names the one that does not, and why
//
// Refuses:
//   - to write anything: the one write is a dry run of a config that must be refused
package check
