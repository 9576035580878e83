// Package finish prints whether a migration can end, and watches what still arrives at the
// old cluster afterwards.
//
// Takes:
//   - an installation, or one proxy that serves a local file
//   - paths to ask new for, and a name server
//
// Gives:
//   - the checklist of package finish, from what replicas, journal, new and DNS say
//   - manifests for the new cluster
//   - what still arrives, from whom, and since when nothing does
//
// Refuses:
//   - to change anything
package finish
