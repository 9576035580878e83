// Package golden compares what a test made with a file under testdata, and
// rewrites that file when the test is run with -update (make golden).
//
// Takes: a path and the bytes that the test made.
// Gives: a failed test with a diff when they differ.
// Refuses: to create a golden file without -update.
//
// It may be imported by test files only.
package golden
