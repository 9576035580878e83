// Package certfiles copies the certificate files that a config names into the
// runtime directory, and follows their changes.
//
// Takes:
//   - the tables whose files are needed, and the files of the system
//
// Gives:
//   - nginxgen.Files: the copies that nginx and the probes read. Their names
//     change with their content, so that a renewed certificate is another nginx
//     config, which is tested and loaded like any other
//   - a signal when copies have changed, at most Options.Interval after the files
//   - why a file that changed cannot be used
//
// Refuses:
//   - a certificate that does not belong to its key, and files without a
//     certificate: the copies made before stay in use. So a half-written file, or
//     one that is gone, stops nothing, also when nginx is restarted, and after a
//     restart of the agent
//
// A file that never could be copied is passed on by its own name: nginx then says
// what is wrong with it, and the config is not put in force.
//
// Names are followed through symlinks, as Kubernetes mounts Secrets: it swaps the
// directory below which they lie. Between the certificate and its key the swap may
// happen; the two then do not match and are read again.
package certfiles
