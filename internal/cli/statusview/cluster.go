package statusview

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/cli/clusterstatus"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// mostColumns is how many replicas' shares are shown one beside the other; of
// more replicas, the lowest and the highest share are.
const mostColumns = 4

// clusterPage is the page of all replicas.
func clusterPage(now clusterstatus.Status) page {
	p := page{
		headline: Headline(now),
		replicas: [][]string{{"POD", "READY", "SERVES", "SINCE", "VERSION", "NGINX"}},
		problems: texts(Problems(now)),
	}
	for _, replica := range now.Replicas {
		p.replicas = append(p.replicas, ReplicaCells(replica, now.Now))
	}
	for _, service := range now.Services {
		p.services = append(p.services, serviceRow{service.Service, observed(service), lastChange(service)})
		p.problems = append(p.problems, texts(service.Problems(now.Now))...)
	}
	p.problems = append(p.problems, Notes(now)...)
	return p
}

// Notes are what is worth knowing about Ingresses and versions of nginx.
func Notes(now clusterstatus.Status) []string {
	return append(ingressNotes(now.Ingresses), replicaHoles(now.Replicas)...)
}

// lastChange is "2026-12-01 12:30 percentage 5 -> 25 by alice"; "" if nothing is known.
func lastChange(service clusterstatus.Service) string {
	if service.LastChange == nil {
		return ""
	}
	entry := *service.LastChange
	entry.Service, entry.Why = "", ""
	return entry.At.Local().Format("2006-01-02 15:04") + " " + entry.String()
}

// replicaHoles is one line for each version of nginx with known holes.
func replicaHoles(replicas []clusterstatus.Replica) []string {
	var lines []string
	for _, replica := range replicas {
		if replica.Nginx != nil && len(replica.Nginx.KnownHoles) > 0 {
			lines = append(lines, replica.Nginx.Holes())
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

// ingressNotes are one line for each Ingress, with its phase.
func ingressNotes(ingresses status.Ingresses) []string {
	var lines []string
	for _, note := range ingresses.Noted {
		phase := ""
		if note.Phase != "" {
			phase = " (" + string(note.Phase) + ")"
		}
		lines = append(lines, fmt.Sprintf("Ingress %s/%s%s: %s", note.Namespace, note.Name, phase, note.Text))
	}
	if more := ingresses.Total - len(ingresses.Noted); more > 0 {
		lines = append(lines, fmt.Sprintf("%d more Ingresses have an Event of the migration proxy: kubectl get events -A --field-selector involvedObject.kind=Ingress", more))
	}
	return lines
}

// Headline is "2 of 2 replicas ready, all serve 0123456789abcdef of
// migration-proxy/migration-config".
func Headline(now clusterstatus.Status) string {
	ready, inSync := now.Ready()
	line := fmt.Sprintf("%d of %d replicas ready", ready, len(now.Replicas))
	switch {
	case now.Config.Digest == "":
		return line + ", the config in " + now.Config.Source + " IS NOT VALID"
	case ready == 0:
		return line + ", NOBODY SERVES " + now.Config.Source
	case inSync < ready:
		return fmt.Sprintf("%s, %d of them NOT IN SYNC with %s of %s", line, ready-inSync, now.Config.Digest, now.Config.Source)
	}
	return fmt.Sprintf("%s, all serve %s of %s", line, now.Config.Digest, now.Config.Source)
}

// observed is "19.8% 20.1%", in the order of the replicas.
func observed(service clusterstatus.Service) string {
	var shares []float64
	var texts []string
	for _, replica := range service.Replicas {
		texts = append(texts, percent(replica.Observed, replica.Requests))
		if replica.Observed != nil {
			shares = append(shares, *replica.Observed)
		}
	}
	switch {
	case len(shares) == 0:
		return percent(nil, service.ObservedRequests)
	case len(texts) <= mostColumns:
		return strings.Join(texts, " ")
	}
	return decimal(slices.Min(shares)) + "%.." + decimal(slices.Max(shares)) + "%"
}

// ReplicaCells are pod, ready, the digest that it serves, since when, and the versions of
// the program and of nginx.
func ReplicaCells(r clusterstatus.Replica, now time.Time) []string {
	ready := strconv.FormatBool(r.Ready)
	if r.Error != "" {
		return []string{r.Pod, ready, "?", "-", "-", "-"}
	}
	since := "-"
	if !r.Config.Since.IsZero() {
		since = now.Sub(r.Config.Since).Round(time.Second).String()
	}
	return []string{r.Pod, ready, servedDigest(r), since, r.Version, r.Nginx.Version}
}

func servedDigest(r clusterstatus.Replica) string {
	if r.Config.Digest == "" {
		return "nothing"
	}
	return r.Config.Digest
}

// Problems are those of the installation and of its replicas, not of services.
func Problems(now clusterstatus.Status) []status.Problem {
	found := installationProblems(now)
	for _, replica := range now.Replicas {
		if text := replicaProblem(replica, now.Config); text != "" {
			found = append(found, status.Problem{Text: replica.Pod + ": " + text, Person: staysSo(replica)})
		}
	}
	return found
}

// staysSo tells whether the problem of a replica does not go away by itself.
func staysSo(r clusterstatus.Replica) bool {
	return r.Error != "" || r.Config.Rejected != nil || r.Nginx.SideProblem != ""
}

// installationProblems are those of no single replica or service.
func installationProblems(now clusterstatus.Status) []status.Problem {
	var found []status.Problem
	add := func(text string) { found = append(found, status.Problem{Text: text, Person: true}) }
	if now.Paused != "" {
		add("Paused, no Ingress is rewritten ('migration-proxy restore --resume' ends it): " + now.Paused)
	}
	if len(now.Config.Problems) > 0 {
		add("The config is not valid; the last good one stays in force:\n" + strings.Join(now.Config.Problems, "\n"))
	}
	for _, warning := range now.Config.Warnings {
		found = append(found, status.Problem{Text: "The ConfigMap " + now.Config.Source + ": " + warning})
	}
	if len(now.Replicas) == 0 {
		add(fmt.Sprintf("No replica runs: Service %s in namespace %s has no endpoints; "+
			"'kubectl get pods --namespace %s' tells more", names.ProxyService, now.Namespace, now.Namespace))
	}
	return found
}

// replicaProblem is "" for a replica that is ready and serves the config.
func replicaProblem(r clusterstatus.Replica, wanted clusterstatus.Config) string {
	switch {
	case r.Error != "":
		return r.Error
	case r.Config.Rejected != nil && wanted.Digest != "" && !r.InSync:
		return fmt.Sprintf("rejected the config at %s (%s), serves %s:\n%s", r.Config.Rejected.At.Local().Format(time.DateTime),
			r.Config.Rejected.Stage, servedDigest(r), strings.Join(r.Config.Rejected.Problems, "\n"))
	case r.Nginx.SideProblem != "":
		return r.Nginx.SideProblem
	case !r.Ready:
		return "not ready, it gets no traffic"
	case wanted.Digest != "" && !r.InSync:
		return fmt.Sprintf("still serves %s of %s", servedDigest(r), r.Config.Source)
	case r.Nginx.LastError != "":
		return "nginx: " + r.Nginx.LastError
	}
	return ""
}
