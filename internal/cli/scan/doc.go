// Package scan shows what would become of each Ingress if its user opted it in. It
// needs nothing to be installed, and changes nothing.
//
// Takes:
//   - a cluster, with the user's own rights, or manifests in files
//   - the migration config, if there is one
//
// Gives:
//   - the verdicts as a table, JSON or Markdown
//   - the services that a migration config needs, with percentage 0
//   - an error when an Ingress is as bad as the user does not want
//
// Refuses:
//   - a manifest that cannot be read: its Ingresses would be missing without a word
//
// What it could not look at, such as IngressClasses without the right to list them, is
// a note in the result.
package scan
