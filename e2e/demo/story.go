package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// story is what a user lives through.
var story = []struct {
	title string
	run   func(*demo)
}{
	{"An application in the old cluster, a copy of it in the new one, and clients", (*demo).begin},
	{"Opt in: one annotation", (*demo).optIn},
	{"A few percent, then half", (*demo).firstHalf},
	{"A slip of the pen: somebody edits 50 into 500", (*demo).slip},
	{"The new cluster dies, under load", (*demo).newDies},
	{"It is back, and nobody types anything", (*demo).newReturns},
	{"All of it", (*demo).all},
	{"And out again: the Ingress is what it was, to the byte", (*demo).optOut},
	{"Uninstall while an Ingress migrates: no trace, and no lost request", (*demo).uninstall},
}

const ingress = "shop"

func (d *demo) begin() {
	d.show(d.cluster.Kubectl(d, "get", "pods", "--namespace", world.Namespace))
	d.site = d.cluster.NewSite(d)
	d.site.Ingress(ingress)
	d.before = d.site.Written(ingress)
	d.site.Configure(0, "fallback: {max_failures: 5, failure_window: 60, recovery_time: 3}")
	d.show(d.cluster.Kubectl(d, "get", "ingress", ingress, "--namespace", d.site.Namespace))
	d.show(d.cluster.ConfigText(d))
	d.stream = d.site.Stream()
	d.split(0)
}

// split claims that clients see the share, and that nobody got an error.
func (d *demo) split(percent float64) {
	report := d.site.Send(400)
	err := world.Split(report, percent)
	d.claim(err == nil, "%d of %d requests on new, %d failed%s", report.Sides[world.New], report.Sent, report.Failed, because(err))
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

func (d *demo) optIn() {
	d.show(d.site.OptIn(ingress))
	d.site.AwaitPhase(ingress, "Migrating")
	now := d.site.GetIngress(ingress)
	d.claim(world.Backend(now, 0, 0) == world.Rewritten, "path / of the Ingress leads to Service %s now", world.Backend(now, 0, 0))
	d.claim(world.Annotation(now, "original") != "", "and says what it replaced: %s", world.Annotation(now, "original"))
	d.split(0)
}

func (d *demo) firstHalf() {
	d.update(5)
	d.update(50)
	d.show(d.cluster.Proxy(d, "status"))
}

// update moves to a percentage and claims that clients see it.
func (d *demo) update(percent int) {
	d.show(d.cluster.Proxy(d, "update", d.site.Service, fmt.Sprint(percent)))
	d.split(float64(percent))
	d.site.AwaitShare(ingress, percent)
}

var keptFile = regexp.MustCompile(`stored to "(\S+)"`)

func (d *demo) slip() {
	result := d.cluster.KubectlEdit(d, "s/percentage: [0-9]+/percentage: 500/") // each time the editor opens
	reason := ""
	if match := keptFile.FindStringSubmatch(result.Output); match != nil {
		text, _ := os.ReadFile(match[1])
		reason = regexp.MustCompile(`migration\.yaml:\d+:\d+:.*`).FindString(string(text))
	}
	d.show(reason)
	d.claim(result.Code != 0 && reason != "", "refused in the editor, with line and column")
	d.split(50)
}

func (d *demo) newDies() {
	d.site.Fail(world.New, wire.Outage{Mode: wire.Refuse})
	d.site.AwaitPhase(ingress, "FallenBack")
	d.cluster.AwaitEvent(d, d.site.Namespace, "Ingress", "FellBack", "")
	now := d.site.GetIngress(ingress)
	d.claim(world.Backend(now, 0, 0) == "old:8000", "path / of the Ingress leads to %s again", world.Backend(now, 0, 0))
	d.show(d.cluster.Kubectl(d, "get", "events", "--namespace", d.site.Namespace, "--field-selector", "involvedObject.kind=Ingress",
		"-o", `custom-columns=REASON:.reason,MESSAGE:.message`))
	d.split(0)
}

func (d *demo) newReturns() {
	d.site.Fail(world.New, wire.Outage{})
	d.site.AwaitPhase(ingress, "Migrating")
	d.claim(true, "the Ingress is in phase Migrating again")
	d.site.AwaitSplit(50)
	d.split(50)
}

func (d *demo) all() { d.update(100) }

func (d *demo) optOut() {
	d.site.OptOut(ingress)
	d.site.AwaitWritten(ingress, d.before)
	d.claim(d.site.Written(ingress) == d.before, "nothing of ours is left in it")
	d.site.AwaitSplit(0)
	report := d.stream.Stop()
	d.claim(report.Failed == 0, "since the beginning: %d requests in the background, %d failed", report.Sent, report.Failed)
}

func (d *demo) uninstall() {
	d.site.OptIn(ingress)
	d.site.AwaitPhase(ingress, "Migrating")
	stream := d.site.Stream()
	d.show(d.cluster.Uninstall(d))
	now := d.site.GetIngress(ingress)
	d.claim(world.Backend(now, 0, 0) == "old:8000" && len(world.Ours(now)) == 0, "the Ingress is as its user wrote it")
	left := d.cluster.Kubectl(d, "get", "services", "--namespace", d.site.Namespace, "-o", "name")
	d.claim(!strings.Contains(left, world.ProxyService), "no Service of ours beside it: %s", strings.Join(strings.Fields(left), " "))
	report := stream.Stop()
	d.claim(report.Failed == 0, "%d requests meanwhile, %d failed", report.Sent, report.Failed)
}
