// Package arrows keeps docs/architecture.md true: it reads the imports of
// every Go file and reports those that the table of allowed imports does not
// have. The table itself is in arrows_test.go.
//
// Takes: a file tree and the table.
// Gives: the imports that are not allowed, sorted.
// Refuses: files that do not parse, and packages that have no line in the table.
//
// It may be imported by nobody.
package arrows
