package linux

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// OpenProcess opens a pidfd, which polls readable when the process ends (pidfd_open(2)).
func OpenProcess(pid int) (fd int, err error) { return unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK) }

// Reap takes the exit status of the process of a pidfd, if it is an ended child.
func Reap(pidfd int) { _ = unix.Waitid(unix.P_PIDFD, pidfd, nil, unix.WEXITED|unix.WNOHANG, nil) }

// PunchHole gives a part of a file back to the disk. The size of the file stays.
func PunchHole(file *os.File, from, length int64) error {
	return unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, from, length)
}

// IsMountPoint tells whether a directory is the root of a mount (statx(2)).
func IsMountPoint(dir *os.File) bool {
	var about unix.Statx_t
	err := unix.Statx(int(dir.Fd()), "", unix.AT_EMPTY_PATH, 0, &about)
	return err == nil && about.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

// LimitData changes the soft limit RLIMIT_DATA of a process, in bytes; it may be raised
// again, up to the hard one. It needs the rights of the process's user, or
// CAP_SYS_RESOURCE.
func LimitData(pid int, limit uint64) error {
	var now unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_DATA, nil, &now); err != nil {
		return err
	}
	return unix.Prlimit(pid, unix.RLIMIT_DATA, &unix.Rlimit{Cur: min(limit, now.Max), Max: now.Max}, nil)
}

// ActAs lets this thread access files as a user, as setfsuid(2) does. It cannot fail
// visibly. Elsewhere it does nothing.
func ActAs(uid, gid int) { _, _ = syscall.Setfsgid(gid), syscall.Setfsuid(uid) }
