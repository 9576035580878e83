package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/atomicfile"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/migration"
)

// demoPatience is how long the demo waits for what should take a moment.
const demoPatience = 20 * time.Second

func (d *demo) beginOnOld(ctx context.Context) error {
	d.step("Prepared, and everything is still on old")
	return d.watchShare(ctx, 0)
}

func (d *demo) firstFew(ctx context.Context) error { return d.move(ctx, "The first few percent", 5) }

func (d *demo) half(ctx context.Context) error { return d.move(ctx, "Half", 50) }

// slip saves a bad edit, as an editor would, and takes it back.
func (d *demo) slip(ctx context.Context) error {
	d.step("A slip of the pen: somebody saves 500 instead of 50")
	good, err := os.ReadFile(d.config)
	if err != nil {
		return err
	}
	bad := bytes.Replace(good, []byte("percentage: 50"), []byte("percentage: 500"), 1)
	if err := atomicfile.Replace(d.config, good, bad); err != nil {
		return err
	}
	d.claim(d.show(ctx, "validate", demoFile) == exitFailed, "validate finds it")
	d.claim(poll(ctx, demoPatience, func() bool { return d.rejects(ctx) }), "the proxy refuses it, and what was in force stays so")
	if err := d.watchShare(ctx, 50); err != nil {
		return err
	}
	return atomicfile.Replace(d.config, bad, good)
}

func (d *demo) rejects(ctx context.Context) bool {
	now, _, err := d.client().status(ctx)
	return err == nil && now.Ready && now.Config.Rejected != nil
}

func (d *demo) all(ctx context.Context) error { return d.move(ctx, "All", 100) }

func (d *demo) backToOld(ctx context.Context) error {
	return d.move(ctx, "And back, because we can", 0)
}

func (d *demo) goBack(ctx context.Context) error { return d.move(ctx, "Enough: back to old", 0) }

// move changes shop's percentage and watches what clients get.
func (d *demo) move(ctx context.Context, title string, percent int) error {
	d.step(title)
	if err := d.command(ctx, "update", "shop", fmt.Sprint(percent)); err != nil {
		return err
	}
	return d.watchShare(ctx, percent)
}

// watchShare claims that new's part of the next requests is the percentage,
// within four standard deviations of a fair dice (1 in 16,000 is outside),
// and that nobody got an error.
func (d *demo) watchShare(ctx context.Context, percent int) error {
	seen, err := d.traffic.watch(ctx, d.enough)
	if err != nil {
		return err
	}
	n, p := float64(seen.sent), float64(percent)/100
	tolerance := 4 * math.Sqrt(n*p*(1-p))
	d.claim(math.Abs(float64(seen.onNew)-n*p) <= tolerance, "%d of %d requests on new: %.1f %%, expected %d ± %.1f %%",
		seen.onNew, seen.sent, 100*float64(seen.onNew)/n, percent, 100*tolerance/n)
	d.claim(seen.failures() == 0, "%d failed", seen.failures())
	return nil
}

func (d *demo) headerRule(ctx context.Context) error {
	d.step("Testers go first: a header rule, while shop is at 0 %")
	if err := d.command(ctx, "explain", demoFile, "--host", "shop.example.com", "--header", "X-Migration-Target=new"); err != nil {
		return err
	}
	const asked = 50
	got, err := d.ask(ctx, "shop.example.com", "X-Migration-Target", "new", asked)
	if err != nil {
		return err
	}
	d.claim(got["new"] == asked, "%d of %d requests with the header on new", got["new"], asked)
	plain, err := d.traffic.watch(ctx, 50)
	if err != nil {
		return err
	}
	d.claim(plain.onNew == 0 && plain.failures() == 0, "%d of %d requests without it", plain.onNew, plain.sent)
	return nil
}

// ask sends requests that differ from the usual traffic by one header, and
// counts who answers: "old", "new", or "" for no good answer.
func (d *demo) ask(ctx context.Context, host, header, value string, times int) (map[string]int, error) {
	load := testbed.Load{
		URL: "http://" + d.listen + "/", Host: host, Requests: times, Timeout: demoPatience,
		Header: map[string][]string{header: {value}},
	}
	report, err := load.Run(ctx)
	if err != nil {
		return nil, err
	}
	got := map[string]int{"": report.Lost()}
	for backend, count := range report.Backends {
		got[backend] += count
	}
	return got, nil
}

func (d *demo) stickyUsers(ctx context.Context) error {
	d.step("Users stay where they are: service account, by the hash of X-User-ID")
	var sides [3]map[string]string
	for i, percent := range []string{"30", "60", "30"} {
		if err := d.command(ctx, "update", "account", percent); err != nil {
			return err
		}
		var err error
		if sides[i], err = d.askUsers(ctx); err != nil {
			return err
		}
	}
	at30, at60, again := sides[0], sides[1], sides[2]
	moved, back, differ := 0, 0, 0
	for user, side := range at30 {
		moved += count(side == "old" && at60[user] == "new")
		back += count(side == "new" && at60[user] != "new")
		differ += count(again[user] != side)
	}
	d.claim(back == 0, "30 -> 60 %%: %d of %d users went to new, %d came back", moved, len(at30), back)
	d.claim(differ == 0, "60 -> 30 %%: %d users are elsewhere than at 30 %% before", differ)
	return d.compareWithExplain(again)
}

func count(holds bool) int {
	if holds {
		return 1
	}
	return 0
}

// askUsers lets 200 users ask three times each, and gives the side of each;
// "both" is a user who saw two.
func (d *demo) askUsers(ctx context.Context) (map[string]string, error) {
	sides := map[string]string{}
	torn := 0
	for i := range 200 {
		user := fmt.Sprintf("user-%d", i)
		got, err := d.ask(ctx, "account.example.com", "X-User-ID", user, 3)
		if err != nil {
			return nil, err
		}
		for _, side := range []string{"old", "new"} {
			if got[side] == 3 {
				sides[user] = side
			}
		}
		if sides[user] == "" {
			sides[user] = "both"
			torn++
		}
	}
	d.claim(torn == 0, "%d users asked three times each, %d saw more than one side", len(sides), torn)
	return sides, nil
}

// compareWithExplain claims that the pure decision says what nginx did.
func (d *demo) compareWithExplain(sides map[string]string) error {
	table, err := d.table()
	if err != nil {
		return err
	}
	wrong := 0
	for user, side := range sides {
		decision := table.Decide(migration.Request{
			Host: "account.example.com", Target: "/",
			Header: map[string]string{migration.HeaderName("X-User-ID").Key(): user},
		})
		wrong += count(string(decision.Side) != side)
	}
	d.claim(wrong == 0, "explain, from the file alone, is wrong about %d of them", wrong)
	return nil
}

func (d *demo) newDies(ctx context.Context) error {
	d.step("New dies at 50 %, under load")
	if err := d.command(ctx, "update", "shop", "50"); err != nil {
		return err
	}
	if err := d.watchShare(ctx, 50); err != nil {
		return err
	}
	view := d.traffic.begin()
	if err := d.traffic.await(ctx, view, 20); err != nil { // so that it sees what is in flight
		return err
	}
	d.say("   (the new cluster is killed now)")
	d.new.Kill()
	if err := d.traffic.await(ctx, view, d.enough); err != nil {
		return err
	}
	seen := d.traffic.count(view)
	posts := seen.sent - seen.gets
	d.claim(seen.failed[http.MethodGet] == 0, "%d of %d GETs failed: old answers instead", seen.failed[http.MethodGet], seen.gets)
	d.lost = seen.failed[http.MethodPost]
	d.claim(d.lost <= demoConnections, "%d of %d POSTs failed%s", d.lost, posts, d.excuse())
	shop := d.shop(ctx)
	d.claim(shop.Phase == status.FallenBack, "shop is %s: %s", shop.Phase, shop.Reason)
	return d.command(ctx, "status", "--service", "shop")
}

// shop is how the proxy says that the service is.
func (d *demo) shop(ctx context.Context) status.Service {
	now, _, err := d.client().status(ctx)
	if err != nil {
		return status.Service{}
	}
	for _, service := range now.Services {
		if service.Name == "shop" {
			return service
		}
	}
	return status.Service{}
}

// excuse explains the only failure that there may be: PRODUCT never sends
// twice what new may have seen. What is in flight are two POSTs at most.
func (d *demo) excuse() string {
	if d.lost == 0 {
		return ": what had not reached new went to old"
	}
	return ": in flight when new died, and never sent twice"
}

func (d *demo) newReturns(ctx context.Context) error {
	d.step("New is back; nobody types anything")
	if err := d.new.Revive(); err != nil {
		return err
	}
	back := poll(ctx, demoPatience, func() bool { return d.shop(ctx).Phase != status.FallenBack })
	d.claim(back, "shop is %s: %s", d.shop(ctx).Phase, d.shop(ctx).Reason)
	return d.watchShare(ctx, 50)
}

func (d *demo) checkPosts(context.Context) error {
	d.step("The books: every POST by its number, as the two clusters saw it")
	posts := d.traffic.posts()
	twice := 0
	for n := 1; n <= posts; n++ {
		id := fmt.Sprintf("%s-%d", demoPostID, n)
		twice += count(d.old.Count("POST", demoPath, id)+d.new.Count("POST", demoPath, id) > 1)
	}
	d.claim(twice == 0, "%d POSTs, %d reached the clusters more than once", posts, twice)
	return nil
}

// command runs what a user would type, and shows it with what it prints.
func (d *demo) command(ctx context.Context, args ...string) error {
	if code := d.show(ctx, args...); code != exitOK {
		return fmt.Errorf("migration-proxy %s ended with exit code %d", args[0], code)
	}
	return nil
}

// show is command for one that may fail; it gives the exit code, -1 when
// there is none.
func (d *demo) show(ctx context.Context, args ...string) int {
	d.say("   $ migration-proxy %s", strings.Join(args, " "))
	command := d.self(ctx, args...)
	output, err := command.CombinedOutput()
	for line := range strings.Lines(string(output)) {
		if strings.TrimSpace(line) != "" {
			d.say("     %s", strings.TrimRight(line, "\n"))
		}
	}
	if command.ProcessState == nil {
		d.say("     %v", err)
		return -1
	}
	return command.ProcessState.ExitCode()
}
