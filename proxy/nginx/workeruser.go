package nginx

import (
	"cmp"
	"fmt"
	"os"
	"os/user"
	"regexp"
	"runtime"
	"strconv"

	"github.com/migration-proxy/migration-proxy/internal/linux"
)

// configuredUser is the user in the output of nginx -V: "--user=www-data".
var configuredUser = regexp.MustCompile(`--user=([^\s']+)`)

// workerUser is the user of the workers when root starts nginx.
func workerUser(versionOutput string) string {
	if match := configuredUser.FindStringSubmatch(versionOutput); match != nil {
		return match[1]
	}
	return "nobody" // nginx's own default
}

// CheckWorkers says why the workers cannot enter the directory. They run as another
// user than a master of root; name is that user, or "" for the one that nginx was
// built with. Unknown users are left to nginx.
func (n *Nginx) CheckWorkers(name string) error {
	uid, gid, known := n.workerIDs(name)
	if !known {
		return nil
	}
	if err := statAs(n.Dir+"/.", uid, gid); err != nil {
		return fmt.Errorf("nginx's workers run as user %s and cannot enter the runtime directory %s: %w", cmp.Or(name, n.workerUser), n.Dir, err)
	}
	return nil
}

// WorkerID is the user of the workers, if it is another one than that of this process
// and known. Name is as for CheckWorkers.
func (n *Nginx) WorkerID(name string) (uid int, other bool) {
	uid, _, other = n.workerIDs(name)
	return uid, other
}

func (n *Nginx) workerIDs(name string) (uid, gid int, known bool) {
	if os.Geteuid() != 0 {
		return 0, 0, false
	}
	account, err := user.Lookup(cmp.Or(name, n.workerUser))
	if err != nil {
		return 0, 0, false
	}
	uid, uidErr := strconv.Atoi(account.Uid)
	gid, gidErr := strconv.Atoi(account.Gid)
	return uid, gid, uidErr == nil && gidErr == nil
}

// statAs looks at a path as another user. The kernel has a user for file access for
// each thread; the thread ends with its goroutine, because it stays locked.
func statAs(path string, uid, gid int) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		linux.ActAs(uid, gid)
		_, err := os.Stat(path)
		result <- err
	}()
	return <-result
}
