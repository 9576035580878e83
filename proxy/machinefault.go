package proxy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/migration-proxy/migration-proxy/proxy/nginx"
)

// shortageErrors pass without a change of the config, for example when a disk
// gets free space.
var shortageErrors = []syscall.Errno{
	syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO,
	syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN,
}

// permissionErrors are faults of the machine when the agent meets them in its
// runtime directory. When nginx meets them, on a file that the config names,
// the config is at fault.
var permissionErrors = []syscall.Errno{syscall.EACCES, syscall.EPERM}

// isMachineFault reports whether an attempt failed because of the machine and not
// because of the config. nginx prints the error number: "mkdir() "/run/x"
// failed (28: No space left on device)". An nginx that prints nothing and goes on
// serving the old config had no time to load the new one.
func isMachineFault(err error) bool {
	var lines nginx.Problems
	errors.As(err, &lines)
	return errors.Is(err, nginx.ErrNotServed) ||
		slices.ContainsFunc(permissionErrors, func(number syscall.Errno) bool { return errors.Is(err, number) }) ||
		slices.ContainsFunc(shortageErrors, func(number syscall.Errno) bool {
			return errors.Is(err, number) || printed(lines, number)
		})
}

func printed(lines nginx.Problems, number syscall.Errno) bool {
	text := fmt.Sprintf(" failed (%d: ", int(number))
	return slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, text) })
}
