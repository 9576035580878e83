package statusview

import (
	"fmt"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

// proxyPage is the page of one proxy.
func proxyPage(now status.Status) page {
	p := page{headline: proxyHeadline(now)}
	if rejected := now.Config.Rejected; rejected != nil {
		p.problems = append(p.problems, fmt.Sprintf("The newest config was rejected at %s (%s); the last good one stays in force:\n%s",
			rejected.At.Local().Format(time.DateTime), rejected.Stage, strings.Join(rejected.Problems, "\n")))
	}
	if now.Nginx.SideProblem != "" {
		p.problems = append(p.problems, now.Nginx.SideProblem)
	}
	if now.Nginx.LastError != "" {
		p.problems = append(p.problems, "nginx: "+now.Nginx.LastError)
	}
	for _, service := range now.Services {
		p.services = append(p.services, serviceRow{Service: service, observed: percent(service.Observed, service.ObservedRequests)})
		p.problems = append(p.problems, serviceProblems(service, now.Now)...)
	}
	p.problems = append(p.problems, holes(now.Nginx)...)
	return p
}

// holes is one line about the known holes of an nginx.
func holes(nginx status.Nginx) []string {
	if len(nginx.KnownHoles) == 0 {
		return nil
	}
	var ids []string
	for _, hole := range nginx.KnownHoles {
		id, _, _ := strings.Cut(hole, ":")
		ids = append(ids, id)
	}
	return []string{fmt.Sprintf("nginx %s has known holes, unless its distributor mended them: %s (docs/security.md)", nginx.Version, strings.Join(ids, ", "))}
}

// proxyHeadline is "ready, serves 0123456789abcdef of migration.yaml for 5m0s,
// nginx 1.22.1".
func proxyHeadline(now status.Status) string {
	ready := "ready"
	if !now.Ready {
		ready = "NOT READY"
	}
	config := "serves no config yet"
	if now.Config.Digest != "" {
		config = fmt.Sprintf("serves %s of %s for %s", now.Config.Digest, now.Config.Source,
			now.Now.Sub(now.Config.Since).Round(time.Second))
	}
	return fmt.Sprintf("%s, %s, nginx %s", ready, config, now.Nginx.Version)
}
