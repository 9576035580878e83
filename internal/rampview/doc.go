// Package rampview says where the ramps are, for people and for programs.
//
// Takes:
//   - the table, and the keys of ConfigMap migration-ramp, or of the file of a local ramp
//
// Gives:
//   - a Row for each service with a ramp; the command ramp, the page and JSON have the same
//
// Refuses:
//   - states that cannot be read: the error names the service
package rampview
