package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// mostColumns is how many replicas' shares stand one beside the other; of
// more, the lowest and the highest do.
const mostColumns = 4

// page is the status over all replicas for people.
func (d *clusterStatus) page() page {
	p := page{headline: d.headline(), troubles: d.troubles(), replicas: [][]string{{"POD", "READY", "SERVES", "SINCE", "VERSION", "NGINX"}}}
	for _, s := range d.Services {
		p.services = append(p.services, row{s.Service, s.observed()})
	}
	for _, replica := range d.Replicas {
		p.replicas = append(p.replicas, replica.cells(d.Now))
	}
	return p
}

// headline is "2 of 2 replicas ready, all serve 0123456789abcdef of
// migration-proxy/migration-config".
func (d *clusterStatus) headline() string {
	ready, inSync := d.ready()
	line := fmt.Sprintf("%d of %d replicas ready", ready, len(d.Replicas))
	switch {
	case d.Config.Digest == "":
		return line + ", the config in " + d.Config.Source + " IS NOT VALID"
	case ready == 0:
		return line + ", NOBODY SERVES " + d.Config.Source
	case inSync < ready:
		return fmt.Sprintf("%s, %d of them NOT IN SYNC with %s of %s", line, ready-inSync, d.Config.Digest, d.Config.Source)
	}
	return fmt.Sprintf("%s, all serve %s of %s", line, d.Config.Digest, d.Config.Source)
}

// observed is "19.8% 20.1%", in the order of the replicas.
func (s *serviceStatus) observed() string {
	var shares []float64
	var texts []string
	for _, replica := range s.Replicas {
		texts = append(texts, percent(replica.Observed))
		if replica.Observed != nil {
			shares = append(shares, *replica.Observed)
		}
	}
	switch {
	case len(shares) == 0:
		return "-"
	case len(texts) <= mostColumns:
		return strings.Join(texts, " ")
	}
	lowest, highest := slices.Min(shares), slices.Max(shares)
	return percent(&lowest) + ".." + percent(&highest)
}

func (r *replicaStatus) cells(now time.Time) []string {
	ready := strconv.FormatBool(r.Ready)
	if r.Error != "" {
		return []string{r.Pod, ready, "?", "-", "-", "-"}
	}
	since := "-"
	if !r.Config.Since.IsZero() {
		since = now.Sub(r.Config.Since).Round(time.Second).String()
	}
	return []string{r.Pod, ready, r.serves(), since, r.Version, r.Nginx.Version}
}

func (r *replicaStatus) serves() string {
	if r.Config.Digest == "" {
		return "nothing"
	}
	return r.Config.Digest
}

// troubles is everything that somebody should look at.
func (d *clusterStatus) troubles() []string {
	var lines []string
	if d.Paused != "" {
		lines = append(lines, "Paused, no Ingress is rewritten ('migration-proxy restore --resume' ends it): "+d.Paused)
	}
	if len(d.Config.Problems) > 0 {
		lines = append(lines, "The config is not valid; the last good one stays in force:\n"+strings.Join(d.Config.Problems, "\n"))
	}
	if len(d.Replicas) == 0 {
		lines = append(lines, fmt.Sprintf("No replica runs: Service %s in namespace %s has no endpoints; "+
			"'kubectl get pods --namespace %s' tells more", names.ProxyService, d.Namespace, d.Namespace))
	}
	for _, replica := range d.Replicas {
		if why := replica.trouble(d.Config); why != "" {
			lines = append(lines, replica.Pod+": "+why)
		}
	}
	for _, s := range d.Services {
		lines = append(lines, serviceTroubles([]status.Service{s.Service})...)
	}
	return lines
}

// trouble is why a replica is not as it should be; "" when it is.
func (r *replicaStatus) trouble(wanted clusterConfig) string {
	switch {
	case r.Error != "":
		return r.Error
	case r.Config.Rejected != nil && wanted.Digest != "" && !r.InSync:
		return fmt.Sprintf("rejected the config at %s (%s), serves %s:\n%s", r.Config.Rejected.At.Local().Format(time.DateTime),
			r.Config.Rejected.Stage, r.serves(), strings.Join(r.Config.Rejected.Problems, "\n"))
	case !r.Ready:
		return "not ready, it gets no traffic"
	case wanted.Digest != "" && !r.InSync:
		return fmt.Sprintf("still serves %s of %s", r.serves(), r.Config.Source)
	case r.Nginx.LastError != "":
		return "nginx: " + r.Nginx.LastError
	}
	return ""
}
