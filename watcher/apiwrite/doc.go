// Package apiwrite writes to the API server for the watcher. Each write has a timeout
// and is counted.
//
// Takes: an object of one kind, or the result of another write.
//
// Gives: the object as the API server has it, which the store shows at once; the metric
// of all writes.
//
// Refuses: to decide what is written.
package apiwrite
