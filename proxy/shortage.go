package proxy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/migration-proxy/migration-proxy/proxy/nginx"
)

// shortages pass by themselves, or when somebody makes room. They say nothing
// about a config.
var shortages = []syscall.Errno{
	syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO,
	syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN,
}

// closed is what our own directory says to us; to nginx a file that a config
// names may say it, which is the config's fault.
var closed = []syscall.Errno{syscall.EACCES, syscall.EPERM}

// machineShort tells whether a config could not be tried because the machine
// was short of something, or did not let us. nginx tells the number: "mkdir()
// "/run/x" failed (28: No space left on device)".
func machineShort(err error) bool {
	var said nginx.Problems
	errors.As(err, &said)
	return slices.ContainsFunc(shortages, func(shortage syscall.Errno) bool {
		number := fmt.Sprintf(" failed (%d: ", int(shortage))
		return errors.Is(err, shortage) ||
			slices.ContainsFunc(said, func(line string) bool { return strings.Contains(line, number) })
	}) || slices.ContainsFunc(closed, func(shut syscall.Errno) bool { return errors.Is(err, shut) })
}
