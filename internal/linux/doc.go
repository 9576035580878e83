// Package linux has the system calls of the data plane that only Linux knows. The program
// builds for macOS too, for the commands that talk to a cluster; there these give
// errors.ErrUnsupported, or do nothing where that is said.
//
// Takes:
//   - processes, files and users of this machine
//
// Gives:
//   - handles of processes that are not children, and their end
//   - holes in files, limits of other processes, file access as another user
//
// Refuses:
//   - what the kernel refuses
package linux
