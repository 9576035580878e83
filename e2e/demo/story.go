package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// story has the steps of a migration.
var story = []struct {
	title string
	run   func(*demo)
}{
	{"An application in the old cluster, a copy of it in the new one, and clients", (*demo).begin},
	{"Can we? scan tells what would become of each Ingress", (*demo).scan},
	{"Opt in: one annotation", (*demo).optIn},
	{"A few percent, then half", (*demo).firstHalf},
	{"The way back, rehearsed under load", (*demo).drill},
	{"A typo: an edit changes 50 to 500", (*demo).slip},
	{"The new cluster dies, under load", (*demo).newDies},
	{"It is back, and recovery needs no command", (*demo).newReturns},
	{"All of it", (*demo).all},
	{"May old go? A checklist, and the history", (*demo).finish},
	{"Opt out: the Ingress is the same as before, byte for byte", (*demo).optOut},
	{"Uninstall while an Ingress migrates: no trace, and no lost request", (*demo).uninstall},
}

const ingress = "shop"

func (d *demo) begin() {
	d.show(d.cluster.Kubectl(d, "get", "pods", "--namespace", world.Namespace))
	d.app = d.cluster.NewApp(d)
	d.app.Ingress(ingress)
	d.before = d.app.IngressJSON(ingress)
	d.app.Configure(0, "fallback: {max_failures: 5, failure_window: 10, recovery_time: 3}")
	d.show(d.cluster.Kubectl(d, "get", "ingress", ingress, "--namespace", d.app.Namespace))
	d.show(d.cluster.ConfigText(d))
	d.stream = d.app.Stream()
	d.split(0)
}

// split claims that clients see the percentage and that no request failed.
func (d *demo) split(percent float64) {
	report := d.app.Send(400)
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
	d.show(d.app.OptIn(ingress))
	d.app.WaitForPhase(ingress, "Migrating")
	now := d.app.GetIngress(ingress)
	d.claim(world.Rewritten(world.Backend(now, 0, 0)), "path / of the Ingress leads to Service %s now", world.Backend(now, 0, 0))
	d.claim(world.Annotation(now, "original") != "", "and its annotation has the original backend: %s", world.Annotation(now, "original"))
	d.split(0)
}

func (d *demo) scan() {
	table := d.cluster.Proxy(d, "scan", d.app.Namespace)
	d.show(table)
	d.claim(strings.Contains(table, "1 Ingresses: 1 ready"), "it is ready, and nothing was changed")
}

func (d *demo) drill() {
	result := d.cluster.Proxy(d, "drill", d.app.Service, "--for", "5s")
	d.show(result)
	d.claim(strings.Contains(result, " 0 were lost (5xx), 0 went to new"), "new got nothing meanwhile, and no request was lost")
	d.app.WaitForPhase(ingress, "Migrating")
	d.app.WaitForSplit(50)
}

// finish shows a checklist whose items about new's certificate and DNS cannot be ticked: the
// hosts of this demo exist nowhere.
func (d *demo) finish() {
	command := d.cluster.ProxyCommand("finish", d.app.Service, "--quiet", "100ms")
	d.cluster.OnCommand = nil // it is asked often: the replicas recover for ten seconds
	world.Eventually(d, "all requests go to new", func(context.Context) error {
		if checklist := d.cluster.Try(d, command).Output; !strings.Contains(checklist, "[x] all requests go to new") {
			return errors.New(checklist)
		}
		return nil
	})
	d.cluster.OnCommand = d.printCommand
	checklist := d.cluster.Try(d, command).Output
	d.show(checklist)
	d.claim(strings.Contains(checklist, "[x] quiet for"), "all is at new, and quiet")
	d.claim(strings.Contains(checklist, "do: "), "and each item that is open says what to do")
	report := d.cluster.Proxy(d, "report", d.app.Service)
	for line := range strings.Lines(report) {
		if line == "## Timeline\n" {
			break
		}
		d.show(line)
	}
	d.claim(strings.Contains(report, "drill ended"), "the report has each step, the fallback and the drill")
}

func (d *demo) firstHalf() {
	d.update(5)
	d.update(50)
	d.show(d.cluster.Proxy(d, "status"))
}

// update changes the percentage and claims that clients see it.
func (d *demo) update(percent int) {
	d.show(d.cluster.Proxy(d, "update", d.app.Service, fmt.Sprint(percent)))
	d.split(float64(percent))
	d.app.WaitForShare(ingress, percent)
}

var keptFile = regexp.MustCompile(`stored to "(\S+)"`)

func (d *demo) slip() {
	result := d.cluster.KubectlEdit(d, "s/percentage: [0-9]+/percentage: 500/") // in each editor session
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
	d.app.Fail(world.New, wire.Outage{Mode: wire.Refuse})
	d.app.WaitForPhase(ingress, "FallenBack")
	d.cluster.WaitForEvent(d, d.app.Namespace, "Ingress", "FellBack", "")
	now := d.app.GetIngress(ingress)
	d.claim(world.Backend(now, 0, 0) == "old:8000", "path / of the Ingress leads to %s again", world.Backend(now, 0, 0))
	d.show(d.cluster.Kubectl(d, "get", "events", "--namespace", d.app.Namespace, "--field-selector", "involvedObject.kind=Ingress",
		"-o", `custom-columns=REASON:.reason,MESSAGE:.message`))
	d.split(0)
}

func (d *demo) newReturns() {
	d.app.Fail(world.New, wire.Outage{})
	d.app.WaitForPhase(ingress, "Migrating")
	d.claim(true, "the Ingress is in phase Migrating again")
	d.app.WaitForSplit(50)
	d.split(50)
}

func (d *demo) all() { d.update(100) }

func (d *demo) optOut() {
	d.app.OptOut(ingress)
	d.app.WaitForIngressJSON(ingress, d.before)
	d.claim(d.app.IngressJSON(ingress) == d.before, "it has no annotation or backend of ours")
	d.app.WaitForSplit(0)
	report := d.stream.Stop()
	d.claim(report.Failed == 0, "since the beginning: %d requests in the background, %d failed", report.Sent, report.Failed)
}

func (d *demo) uninstall() {
	d.app.OptIn(ingress)
	d.app.WaitForPhase(ingress, "Migrating")
	stream := d.app.Stream()
	d.show(d.cluster.Uninstall(d))
	now := d.app.GetIngress(ingress)
	d.claim(world.Backend(now, 0, 0) == "old:8000" && len(world.Generated(now)) == 0, "the Ingress is as its user wrote it")
	left := d.cluster.Kubectl(d, "get", "services", "--namespace", d.app.Namespace, "-o", "name")
	d.claim(!strings.Contains(left, world.ProxyService), "no Service of ours in its namespace: %s", strings.Join(strings.Fields(left), " "))
	report := stream.Stop()
	d.claim(report.Failed == 0, "%d requests meanwhile, %d failed", report.Sent, report.Failed)
}
