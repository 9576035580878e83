// Package names holds the names and ports of the objects of one installation,
// each once: the objects of the chart, the objects that the programs generate,
// the labels that mark them, and the environment variables that set flags.
//
// Takes:
//   - the name of a flag
//
// Gives:
//   - constants, and the name of an environment variable
//
// Refuses:
//   - values that need a config or a cluster
package names
