// Package names has the names and ports of the objects of one installation,
// each once: those that the chart makes, those that we generate, and what marks
// them as ours.
//
// Takes: nothing. Gives: constants. Refuses: anything that has to be computed,
// and every import.
//
// Every room that speaks of an object may import it.
package names
