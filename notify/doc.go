// Package notify says who is told what, and in which words.
//
// Takes:
//   - an entry of the journal, and a target of the migration config
//
// Gives:
//   - whether the target wants the entry
//   - the body of the request in the target's format; it has all of the entry
//
// Refuses:
//   - nothing
//
// Texts of an entry come from users (names, reasons, who did it). No format lets them
// become markup, a link or a mention. The package is pure; watcher/notifier sends.
package notify
