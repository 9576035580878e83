// Package atomicfile changes the content of a file in one step: a reader sees
// the content before or the content after, also when the writer is killed.
//
// Takes:
//   - a path and the new content
//   - for a file that a user owns: the content that the change was made from
//
// Gives:
//   - Write, for a file of the program's own runtime directory
//   - Replace, for a file of the user: mode, owner and symlinks stay
//
// Refuses:
//   - to overwrite what somebody else has changed in the meantime (ErrChanged)
package atomicfile
