// Package update changes one service's percentage, or switches the service on
// or off, and waits until the change is served.
//
// Takes:
//   - a Goal: the service and the value it must have
//   - where the migration config is: a file with its proxy, or the ConfigMap of
//     an installation
//
// Gives:
//   - the config with one value changed and every other byte kept
//   - one line on what changed and who serves it, and a note when something
//     keeps the change from having the effect that the user expects
//
// Refuses:
//   - to write a text that does not load
//   - to overwrite what somebody else has changed in the meantime
//   - to call a change done that a replica does not serve: the error says which
//     replica and why, and that the config has the change
//
// Read InFile or InCluster from top to bottom: read, plan, write, wait, print.
package update
