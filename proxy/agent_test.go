package proxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/resolve"
)

const full = migration.FullShare

func TestTrafficMovesWithoutAReload(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.run()
	r.apply(r.service("api", 0))
	before := r.Status()
	require.Equal(t, "old", r.get("api"))

	began := time.Now()
	r.ApplyTable(table(t, r.service("api", full)), "test")
	r.waitForSide("api", "new")
	require.Less(t, time.Since(began), time.Second)

	r.SetFallback("api", status.FallenBack, "five failures")
	r.waitForSide("api", "old")
	row := r.waitFor("tripped", func(s status.Status) bool { return s.Services[0].Phase == status.FallenBack }).Services[0]
	require.Equal(t, "five failures", row.Reason)
	r.SetFallback("api", status.Migrating, "")
	r.waitForSide("api", "new")

	off := r.service("api", full)
	off.Enabled = false
	r.ApplyTable(table(t, off), "test")
	r.waitForSide("api", "old")
	after := r.waitFor("disabled", func(s status.Status) bool { return s.Services[0].Phase == status.Disabled })
	require.Equal(t, 1, after.Nginx.Reloads, "the first config")
	require.Equal(t, before.Nginx.PID, after.Nginx.PID)
	require.Equal(t, before.Nginx.StructureDigest, after.Nginx.StructureDigest)
}

func TestANewServiceReloadsNginxAndLosesNoRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.run()
	r.apply(r.service("api", full))
	var asked atomic.Int64
	var clients sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if got := r.get("api"); got != "new" {
					t.Error(got)
					return
				}
				asked.Add(1)
			}
		})
	}
	for i := range 3 {
		name := fmt.Sprintf("more%d", i)
		r.apply(r.service("api", full), r.service(name, full))
		require.Equal(t, "new", r.get(name))
	}
	close(done)
	clients.Wait()
	require.Equal(t, 4, r.Status().Nginx.Reloads)
	require.Greater(t, asked.Load(), int64(100))
	require.Contains(t, r.get("more0"), "no service has this host")
}

func TestARejectedConfigChangesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.run()
	r.apply(r.service("api", 0))
	r.ApplyTable(table(t, r.invalidService("api")), "bad.yaml")
	now := r.waitFor("rejected", func(s status.Status) bool { return s.Config.Rejected != nil })
	require.Equal(t, "test", now.Config.Rejected.Stage)
	require.Contains(t, now.Config.Rejected.Problems[0], `"/no/such/ca.pem"`)
	require.Equal(t, "test", now.Config.Source)
	require.False(t, now.Config.InSync())
	require.True(t, now.Ready)
	require.Equal(t, "old", r.get("api"), "the share belongs to the rejected config")

	r.apply(r.service("api", full))
	require.True(t, r.Status().Config.InSync())
	require.Equal(t, "new", r.get("api"))
}

// invalidService is a service that nginx -t rejects.
func (r *rig) invalidService(name string) migration.Service {
	s := r.service(name, full)
	s.NewBackend.Scheme, s.TLS.Verify, s.TLS.CAFile = migration.HTTPS, true, "/no/such/ca.pem"
	return s
}

func TestTheLastGoodConfigIsServedWhileTheNewestIsRejected(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	bad := table(t, r.invalidService("api"))
	r.ApplyTable(bad, "bad.yaml")
	r.run()
	r.waitFor("rejected", func(s status.Status) bool { return s.Config.Rejected != nil })
	r.SetLastGood(table(t, r.service("api", full)), "last-good.yaml")
	now := r.waitFor("in force", func(s status.Status) bool { return s.Ready })
	require.Equal(t, "last-good.yaml", now.Config.Source)
	require.Contains(t, now.Config.Rejected.Problems[0], `"/no/such/ca.pem"`, "the newest one is still reported")
	require.Equal(t, "new", r.get("api"))
	r.waitFor("the newest was tried again", func(s status.Status) bool { return s.Config.Results["test"] == 2 })
	r.apply(r.service("api", 0))
	require.Equal(t, "old", r.get("api"))
}

// TestRetriesSlowDown: an invalid last good config is tried again after one
// second, then two, then four.
func TestRetriesSlowDown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ReportInvalid("load", "test", []string{"invalid"})
	r.SetLastGood(table(t, r.invalidService("api")), "last-good.yaml")
	r.run()
	rejections := func(n uint64) {
		r.waitFor("rejections", func(s status.Status) bool { return s.Config.Results["test"] >= n })
	}
	rejections(1)
	began := time.Now()
	rejections(4)
	require.Greater(t, time.Since(began), 6500*time.Millisecond)
}

// TestTheNewestConfigIsTriedAgain: the reason for its rejection passes.
func TestTheNewestConfigIsTriedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Agent.options.ReadbackTimeout = 500 * time.Millisecond
	taken, err := net.Listen("tcp", r.params.Listen.String())
	require.NoError(t, err)
	newest := table(t, r.service("api", full))
	r.SetLastGood(table(t, r.service("api", 0)), "last-good.yaml")
	r.ApplyTable(newest, "test")
	r.run()
	r.waitFor("both were tried", func(s status.Status) bool { return s.Config.Results["apply"] >= 2 })
	require.NoError(t, taken.Close())
	now := r.waitFor("in force", func(s status.Status) bool { return s.Ready && s.Config.Digest == newest.Digest() })
	require.True(t, now.Config.InSync())
	require.Equal(t, "new", r.get("api"))
}

func TestARejectionStaysUntilANewerConfigIsInForce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ApplyTable(table(t, r.service("api", 0)), "one")
	r.ReportInvalid("load", "two", []string{"two:1:1: what is this?"})
	r.run()
	now := r.waitFor("in force", func(s status.Status) bool { return s.Ready })
	require.Equal(t, []string{"two:1:1: what is this?"}, now.Config.Rejected.Problems)
	require.Equal(t, "one", now.Config.Source)
	r.ApplyTable(table(t, r.service("api", 0)), "three")
	r.waitFor("in sync", func(s status.Status) bool { return s.Config.InSync() })
}

func TestAPortInUseIsReportedAndTriedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	taken, err := net.Listen("tcp", r.params.Listen.String())
	require.NoError(t, err)
	r.run()
	wanted := table(t, r.service("api", full))
	r.ApplyTable(wanted, "test")
	now := r.waitFor("rejected", func(s status.Status) bool { return s.Config.Rejected != nil })
	require.Equal(t, "apply", now.Config.Rejected.Stage)
	require.Contains(t, strings.Join(now.Config.Rejected.Problems, "\n"), "Address already in use")
	require.False(t, now.Ready)
	require.NoError(t, taken.Close())
	r.waitFor("in force", func(s status.Status) bool { return s.Ready && s.Config.InSync() })
	require.Equal(t, "new", r.get("api"))
}

// TestAReloadThatNginxIgnoresIsPutBack: a master that does not act, as on a machine
// without CPU time. It is tried again without a new edit.
func TestAReloadThatNginxIgnoresIsPutBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Agent.options.ReadbackTimeout = 500 * time.Millisecond
	r.run()
	r.apply(r.service("api", 0))
	master := r.Status().Nginx.PID
	digest := r.dir.current()
	require.NoError(t, syscall.Kill(master, syscall.SIGSTOP)) // its workers go on
	wanted := table(t, r.service("api", 0), r.service("more", full))
	r.ApplyTable(wanted, "test")
	require.Eventually(t, func() bool { return r.dir.current() != digest }, 5*time.Second, time.Millisecond)

	r.SetFallback("api", status.Recovering, "during a reload")
	r.waitFor("applied during a change", func(s status.Status) bool { return s.Services[0].Phase == status.Recovering })
	now := r.waitFor("rejected", func(s status.Status) bool { return s.Config.Rejected != nil })
	require.Equal(t, "apply", now.Config.Rejected.Stage)
	require.Contains(t, now.Config.Rejected.Problems[0], "nginx still serves config "+digest)
	r.waitFor("put back", func(status.Status) bool { return r.dir.current() == digest })
	require.NoError(t, syscall.Kill(master, syscall.SIGCONT))
	r.waitFor("in force", func(s status.Status) bool { return s.Config.InSync() && s.Config.Digest == wanted.Digest() })
	require.Equal(t, "new", r.get("more"))
}

func TestABurstOfTablesIsOneOrTwoReloads(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Agent.options.ReloadEvery = time.Second
	r.run()
	r.apply(r.service("api", 0))
	for i := range 50 {
		r.ApplyTable(table(t, r.service("api", 0), r.service(fmt.Sprintf("more%d", i), full)), "burst")
	}
	r.apply(r.service("api", 0), r.service("last", full))
	require.Equal(t, "new", r.get("last"))
	require.LessOrEqual(t, r.Status().Nginx.Reloads, 3)
	generations, err := filepath.Glob(r.dir.path("conf", "*"))
	require.NoError(t, err)
	require.Len(t, generations, 2, "the current and the previous config")
}

func TestANameWithoutAddressAffectsOnlyOneSide(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.run()
	lost := service(t, "lost", 0, r.old, "no-such-name.invalid:80")
	r.apply(r.service("api", full), lost)
	require.Equal(t, "new", r.get("api"))
	require.Equal(t, "old", r.get("lost"))
	row := r.Status().Services[1]
	require.NotEmpty(t, row.New.Unresolved)
	require.Empty(t, row.New.Addresses)
	require.Equal(t, []string{r.old}, row.Old.Addresses)
}

// countingLookup counts the lookups of each name.
type countingLookup struct {
	mu    sync.Mutex
	count map[string]int
}

func (c *countingLookup) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count[host]++
	return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, byte(len(host))})}, nil
}

func (c *countingLookup) times(host string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count[host]
}

// TestWhileATableWaits: until it is in force, the observer does not see it, and
// the names of the previous table are refreshed.
func TestWhileATableWaits(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	names := &countingLookup{count: map[string]int{}}
	r.observer = make(tableObserver, 10)
	options := options(r.params)
	options.ReloadEvery = time.Hour
	options.Resolve = resolve.Options{Lookup: names, Every: time.Millisecond}
	var err error
	r.Agent, err = New(t.Context(), options)
	require.NoError(t, err)
	r.run()
	before := service(t, "api", 0, r.old, "before.test:80")
	r.apply(before)
	require.Equal(t, table(t, before).Digest(), <-r.observer)

	r.ApplyTable(table(t, service(t, "api", full, r.old, "after.test:80")), "test")
	require.Eventually(t, func() bool { return names.times("after.test") > 2 }, 5*time.Second, time.Millisecond)
	first := names.times("before.test")
	require.Eventually(t, func() bool { return names.times("before.test") > first+2 }, 5*time.Second, time.Millisecond)
	require.NotEmpty(t, r.Addresses(before.NewBackend))
	require.Equal(t, "old", r.get("api"), "the share belongs to the other backend")
	require.Empty(t, r.observer)
}

func TestTheFilesOfARemovedServiceAreDeleted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.run()
	r.apply(r.service("api", 0), r.service("removed", full))
	link := r.dir.path("weights", "removed")
	require.FileExists(t, filepath.Join(link, "safe", "bucket", "99", "99"))
	r.apply(r.service("api", 0))
	require.Eventually(t, func() bool { found, _ := filepath.Glob(link); return len(found) == 0 },
		4*pruneInterval, 50*time.Millisecond)
	r.apply(r.service("api", 0), r.service("removed", full))
	require.Equal(t, "new", r.get("removed"), "the service returns")
}

func TestOneAgentPerDirectory(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stop := r.run()
	r.apply(r.service("api", 0))
	require.ErrorContains(t, r.newAgent().Run(t.Context(), r.observer), "belongs to another agent")
	require.Equal(t, "old", r.get("api"))
	stop()
	require.Contains(t, r.get("api"), "connection refused", "nginx ended with the agent")
}

func TestTheRuntimeDirectoryMustFitASocket(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, dir := range []string{"relative", "/" + strings.Repeat("x", 90)} {
		r.params.RuntimeDir = dir
		_, err := New(t.Context(), options(r.params))
		require.ErrorContains(t, err, "at most 90 bytes")
	}
}
