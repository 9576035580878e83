// Package fieldowners restores the field owners of an object after a patch.
//
// Takes:
//   - metadata.managedFields of an object before and after a patch of the watcher
//
// Gives:
//   - the managedFields in which the users that applied the object (server-side
//     apply) own again what the patch took from them
//
// Refuses:
//   - to change the entries of users that do not use server-side apply: the API
//     server reports conflicts only to those that do
package fieldowners
