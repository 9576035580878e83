package demo

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
)

func (d *demo) startOnOld(ctx context.Context) error {
	d.beginStep("Prepared, and everything is still on old")
	return d.measureShare(ctx, 0)
}

func (d *demo) moveTo5(ctx context.Context) error {
	return d.move(ctx, "The first few percent", 5)
}

func (d *demo) moveTo50(ctx context.Context) error { return d.move(ctx, "Half", 50) }

// saveInvalidConfig saves an invalid config and restores the valid one.
func (d *demo) saveInvalidConfig(ctx context.Context) error {
	d.beginStep("A slip of the pen: somebody saves 500 instead of 50")
	valid, err := os.ReadFile(d.config)
	if err != nil {
		return err
	}
	invalid := bytes.Replace(valid, []byte("percentage: 50"), []byte("percentage: 500"), 1)
	if err := atomicfile.Replace(d.config, valid, invalid); err != nil {
		return err
	}
	d.claim(d.show(ctx, "validate", configFile) == 1, "validate finds it")
	d.claim(poll(ctx, timeout, func() bool { return d.rejectsConfig(ctx) }), "the proxy refuses it, and what was in force stays so")
	if err := d.measureShare(ctx, 50); err != nil {
		return err
	}
	return atomicfile.Replace(d.config, invalid, valid)
}

func (d *demo) rejectsConfig(ctx context.Context) bool {
	proxy, err := d.status(ctx)
	return err == nil && proxy.Ready && proxy.Config.Rejected != nil
}

func (d *demo) moveTo100(ctx context.Context) error { return d.move(ctx, "All", 100) }

func (d *demo) moveBack(ctx context.Context) error {
	return d.move(ctx, "And back, because we can", 0)
}

func (d *demo) moveBackAtTheEnd(ctx context.Context) error {
	return d.move(ctx, "Enough: back to old", 0)
}

// move changes the percentage of shop and measures what the clients get.
func (d *demo) move(ctx context.Context, title string, percent int) error {
	d.beginStep(title)
	if err := d.command(ctx, "update", "shop", fmt.Sprint(percent)); err != nil {
		return err
	}
	return d.measureShare(ctx, percent)
}

// measureShare claims that new's part of the next requests is the percentage,
// and that no request failed. The tolerance is four standard deviations of a
// fair choice: 1 of 16,000 measurements would be outside.
func (d *demo) measureShare(ctx context.Context, percent int) error {
	seen, err := d.traffic.watch(ctx, d.watched)
	if err != nil {
		return err
	}
	n, p := float64(seen.sent), float64(percent)/100
	tolerance := 4 * math.Sqrt(n*p*(1-p))
	d.claim(math.Abs(float64(seen.onNew)-n*p) <= tolerance, "%d of %d requests on new: %.1f %%, expected %d ± %.1f %%",
		seen.onNew, seen.sent, 100*float64(seen.onNew)/n, percent, 100*tolerance/n)
	d.claim(seen.totalFailed() == 0, "%d failed", seen.totalFailed())
	return nil
}

func (d *demo) matchHeaderRule(ctx context.Context) error {
	d.beginStep("Testers go first: a header rule, while shop is at 0 %")
	if err := d.command(ctx, "explain", configFile, "--host", "shop.example.com", "--header", "X-Migration-Target=new"); err != nil {
		return err
	}
	const requests = 50
	answers := d.ask(ctx, "shop.example.com", "X-Migration-Target", "new", requests)
	d.claim(answers["new"] == requests, "%d of %d requests with the header on new", answers["new"], requests)
	plain, err := d.traffic.watch(ctx, 50)
	if err != nil {
		return err
	}
	d.claim(plain.onNew == 0 && plain.totalFailed() == 0, "%d of %d requests without it", plain.onNew, plain.sent)
	return nil
}

// ask sends requests with one header, and counts the clusters that answer:
// "old", "new", or "" for a request without an answer.
func (d *demo) ask(ctx context.Context, host, header, value string, requests int) map[string]int {
	client := newClient()
	defer client.close()
	answers := map[string]int{}
	for range requests {
		cluster, _, _ := client.send(ctx, request{
			proxy: d.listen, method: http.MethodGet, host: host, path: "/", header: map[string]string{header: value},
		})
		answers[cluster]++
	}
	return answers
}

func (d *demo) killNew(ctx context.Context) error {
	d.beginStep("New dies at 50 %, under load")
	if err := d.command(ctx, "update", "shop", "50"); err != nil {
		return err
	}
	if err := d.measureShare(ctx, 50); err != nil {
		return err
	}
	begin := time.Now()
	if _, err := d.traffic.await(ctx, begin, 20); err != nil { // the requests in flight at the kill count too
		return err
	}
	d.print("   (the new cluster is killed now)")
	d.new.kill()
	seen, err := d.traffic.await(ctx, begin, d.watched)
	if err != nil {
		return err
	}
	d.claim(seen.failed[http.MethodGet] == 0, "%d of %d GETs failed: old answers instead", seen.failed[http.MethodGet], seen.gets)
	d.lostPosts = seen.failed[http.MethodPost]
	d.claim(d.lostPosts <= connectionsPerMethod, "%d of %d POSTs failed%s", d.lostPosts, seen.sent-seen.gets, d.explainLostPosts())
	shop := d.shop(ctx)
	d.claim(shop.Phase == status.FallenBack, "shop is %s: %s", shop.Phase, shop.Reason)
	return d.command(ctx, "status", "--service", "shop")
}

// explainLostPosts explains the only failures that can happen: the proxy never
// sends a POST a second time when new may have received it. At most one POST per
// connection is in flight.
func (d *demo) explainLostPosts() string {
	if d.lostPosts == 0 {
		return ": what had not reached new went to old"
	}
	return ": in flight when new died, and never sent twice"
}

// shop is the status of service shop; empty if the proxy does not answer.
func (d *demo) shop(ctx context.Context) status.Service { return d.service(ctx, "shop") }

func (d *demo) reviveNew(ctx context.Context) error {
	d.beginStep("New is back; nobody types anything")
	if err := d.new.revive(); err != nil {
		return err
	}
	back := poll(ctx, timeout, func() bool { return d.shop(ctx).Phase != status.FallenBack })
	shop := d.shop(ctx)
	d.claim(back, "shop is %s: %s", shop.Phase, shop.Reason)
	return d.measureShare(ctx, 50)
}

func (d *demo) countPosts(context.Context) error {
	d.beginStep("The books: every POST by its number, as the two clusters saw it")
	d.traffic.stop()
	ids := d.traffic.postIDs()
	twice := 0
	for _, id := range ids {
		if d.old.count(id)+d.new.count(id) > 1 {
			twice++
		}
	}
	d.claim(twice == 0, "%d POSTs, %d reached the clusters more than once", len(ids), twice)
	return nil
}

// command runs a command of this program, and prints it with its output.
func (d *demo) command(ctx context.Context, args ...string) error {
	if code := d.show(ctx, args...); code != 0 {
		return fmt.Errorf("migration-proxy %s ended with exit code %d", args[0], code)
	}
	return nil
}

// show is command for one that may fail. It returns the exit code, or -1 if
// the command did not run.
func (d *demo) show(ctx context.Context, args ...string) int {
	d.print("   $ migration-proxy %s", strings.Join(args, " "))
	command := d.program(ctx, args...)
	output, err := command.CombinedOutput()
	for line := range strings.Lines(string(output)) {
		if strings.TrimSpace(line) != "" {
			d.print("     %s", strings.TrimRight(line, "\n"))
		}
	}
	if command.ProcessState == nil {
		d.print("     %v", err)
		return -1
	}
	return command.ProcessState.ExitCode()
}
