// Package behaviour holds the tests of what a client sees: the generated
// config, the weights and the real nginx together, without the agent around
// them. That nginx does what migration.Decide says, that it accepts whatever
// config accepts, that nothing else is noticed, and who gets a request that
// new failed.
//
// It has no code of its own.
package behaviour
