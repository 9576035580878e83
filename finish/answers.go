package finish

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// minValidity is how long a certificate must still be valid: renewal must work without
// the old cluster, and has not done so yet.
const minValidity = 21 * 24 * time.Hour

func (f Facts) certificate() finding {
	c := f.Certificate
	wayOut := fmt.Sprintf("issue one for %s in the new cluster by a DNS-01 challenge ('finish %s -o certificate'), or copy the Secret of the old cluster: "+
		"HTTP-01 cannot work before DNS points at new", f.Host, f.Service.Name)
	left := c.NotAfter.Sub(f.Now)
	switch {
	case f.Unreachable != "":
		return f.unreachable()
	case c.Plain:
		return unknown("name the address where clients will arrive with --new-address HOST:443", "new_backend %s speaks no TLS, so it shows no certificate", c.Address)
	case c.Failure != "":
		return missing(wayOut, "TLS to %s with server name %s: %s", c.Address, f.Host, c.Failure)
	case c.Name != "":
		return missing(wayOut, "%s", c.Name)
	case c.Chain != "":
		return missing("let a certificate authority sign it that the clients trust; name a private one with --ca-file", "%s", c.Chain)
	case left < minValidity:
		return missing("renew it now, in the new cluster: the last renewal may have needed the old one", "valid until %s only, which is %d days", stamp(c.NotAfter), int(left.Hours()/24))
	}
	return done("%s has a trusted one, valid until %s", c.Address, stamp(c.NotAfter))
}

func (f Facts) unreachable() finding {
	return unknown("run it where new can be reached, or name an address of new with --new-address HOST:PORT", "new was not asked: %s", f.Unreachable)
}

// answers compares what new says under both names.
func (f Facts) answers() finding {
	var differ []string
	for _, answer := range f.Answers {
		if text := f.difference(answer); text != "" {
			differ = append(differ, answer.Path+": "+text)
		}
	}
	if f.Unreachable != "" || len(f.Answers) == 0 {
		return f.unreachable()
	}
	if len(differ) > 0 {
		return missing(fmt.Sprintf("let new serve host %s as well: 'finish %s -o httproute' or '-o ingress' has both hosts; applications may have lists of allowed hosts",
			f.Host, f.Service.Name), "%d of %d paths: %s", len(differ), len(f.Answers), list(differ))
	}
	return done("the same as under %s, for %d of %d paths", f.Service.NewHost, len(f.Answers), len(f.Answers))
}

// difference is how the answers under both names differ; "" if they do not.
func (f Facts) difference(a Answer) string {
	switch {
	case a.AsNew.Failure != "":
		return fmt.Sprintf("no answer under %s: %s", f.Service.NewHost, a.AsNew.Failure)
	case a.AsOld.Failure != "":
		return fmt.Sprintf("no answer under %s: %s", f.Host, a.AsOld.Failure)
	case a.AsOld.Status != a.AsNew.Status:
		return fmt.Sprintf("%d, and %d under %s", a.AsOld.Status, a.AsNew.Status, f.Service.NewHost)
	case f.ownName(a.AsOld.Location) != f.ownName(a.AsNew.Location):
		return fmt.Sprintf("redirects to %s, and to %s under %s", a.AsOld.Location, a.AsNew.Location, f.Service.NewHost)
	}
	return ""
}

// ownName is a redirect without the host, if that is one of the two.
func (f Facts) ownName(location string) string {
	target, err := url.Parse(location)
	if err != nil || !f.isOwn(target.Hostname()) {
		return location
	}
	target.Scheme, target.Host = "", ""
	return target.String()
}

func (f Facts) isOwn(host string) bool {
	return host == "" || strings.EqualFold(host, f.Host) || strings.EqualFold(host, string(f.Service.NewHost))
}

// translation looks for new_host in what new says under old_host: nothing translates
// that any more after the switch.
func (f Facts) translation() finding {
	wayOut := fmt.Sprintf("let the application build its links from the Host header or X-Forwarded-Host, or set its public address to https://%s", f.Host)
	var leaning []string
	asked := 0
	for _, answer := range f.Answers {
		if answer.AsOld.Failure != "" {
			continue
		}
		asked++
		for _, text := range f.mentions(answer.AsOld) {
			leaning = append(leaning, answer.Path+": "+text)
		}
	}
	const find = "the proxy does not count what it translates. Name paths that redirect or set cookies (login, logout, checkout) with --path"
	switch {
	case len(leaning) > 0:
		return missing(wayOut, "%d found: %s", len(leaning), list(leaning))
	case f.Unreachable != "":
		return f.unreachable()
	case asked == 0:
		return unknown(find, "no path was answered under %s", f.Host)
	case asked == 1 && f.Answers[0].Path == string(f.Service.PathPrefix):
		return unknown(find, "only %s was asked", f.Answers[0].Path)
	}
	return done("no redirect, cookie or link to %s in the answers of %d paths", f.Service.NewHost, asked)
}

// mentions are the places where an answer names new_host.
func (f Facts) mentions(reply Reply) []string {
	var found []string
	if target, err := url.Parse(reply.Location); err == nil && f.isNewOnly(target.Hostname()) {
		found = append(found, "redirects to "+reply.Location)
	}
	for _, domain := range reply.Cookies {
		domain = strings.ToLower(strings.TrimPrefix(domain, "."))
		if host := strings.ToLower(f.Host); host != domain && !strings.HasSuffix(host, "."+domain) {
			found = append(found, "sets a cookie for domain "+domain)
		}
	}
	if reply.Links > 0 {
		found = append(found, fmt.Sprintf("%d links to %s in the body", reply.Links, f.Service.NewHost))
	}
	return found
}

func (f Facts) isNewOnly(host string) bool {
	return strings.EqualFold(host, string(f.Service.NewHost)) && !strings.EqualFold(host, f.Host)
}
