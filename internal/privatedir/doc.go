// Package privatedir makes and opens a directory whose content only this program's
// user, and root, can change. What is read from it may then decide where requests go.
//
// Takes:
//   - an absolute path, also below a directory that everybody may write to, such as
//     /tmp
//
// Gives:
//   - the opened directory, made if it did not exist
//
// Refuses:
//   - a directory that another user owns, or in which another user has put something
//   - a way to it that another user can replace: a symlink or a directory of another
//     user, or a directory that everybody may write to and that is not sticky
//
// The way is checked from the root of the file system on. Each step can only be changed
// by those whom the steps before trust, so it stays as it was checked.
package privatedir
