// Package golden compares what a test made with a file under testdata, and
// rewrites that file when the test is run with -update (make golden).
//
// Takes:
//   - a path and the bytes that the test made
//
// Gives:
//   - a failed test with a diff when the file differs
//
// Refuses:
//   - to create a golden file without -update
package golden
