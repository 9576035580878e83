package finish

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/compare"
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
		if texts := f.differences(answer); len(texts) > 0 {
			differ = append(differ, answer.Path+": "+strings.Join(texts, ", "))
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

// differences are how the answers under old_host differ from those under new_host, as
// package compare tells it. Where an answer names new_host is the matter of translation.
func (f Facts) differences(a Answer) []string {
	if failed := a.AsNew[0]; failed.Failure != compare.None {
		return []string{fmt.Sprintf("no answer under %s: %s", f.Service.NewHost, failed.Detail)}
	}
	if failed := a.AsOld[0]; failed.Failure != compare.None {
		return []string{fmt.Sprintf("no answer under %s: %s", f.Host, failed.Detail)}
	}
	first := compare.Sample{
		Request: compare.Request{Method: http.MethodGet, Host: f.Host, Target: a.Path}, NewHost: f.Host,
		Old: f.neutral(a.AsNew[0]), New: f.neutral(a.AsOld[0]), Again: f.neutral(a.AsNew[1]),
	}
	verdict := compare.Confirm(compare.Judge(&first), compare.Again(&first, f.neutral(a.AsOld[1]), f.neutral(a.AsNew[2])))
	underNames := strings.NewReplacer(" on new under the name "+f.Host, " under "+f.Host, " on new", " under "+f.Host, " on old", " under "+string(f.Service.NewHost))
	var texts []string
	for _, difference := range verdict.Differences {
		texts = append(texts, underNames.Replace(difference.Text))
	}
	return texts
}

// neutral is an answer with old_host in the place of new_host, as the proxy translates it.
func (f Facts) neutral(a compare.Answer) compare.Answer {
	named := regexp.MustCompile(`(?i)(^|[^a-z0-9.-])` + regexp.QuoteMeta(string(f.Service.NewHost)) + `\b`)
	replaced := "${1}" + strings.ReplaceAll(f.Host, "$", "$$")
	a.Body = named.ReplaceAll(a.Body, []byte(replaced))
	a.Header = a.Header.Clone()
	for _, values := range a.Header {
		for i := range values {
			values[i] = named.ReplaceAllString(values[i], replaced)
		}
	}
	return a
}

// translation looks for new_host in what new says under old_host: nothing translates
// that any more after the switch.
func (f Facts) translation() finding {
	wayOut := fmt.Sprintf("let the application build its links from the Host header or X-Forwarded-Host, or set its public address to https://%s", f.Host)
	var leaning []string
	asked := 0
	for _, answer := range f.Answers {
		if answer.AsOld[0].Failure != compare.None {
			continue
		}
		asked++
		for _, text := range f.mentions(answer.AsOld[0]) {
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
func (f Facts) mentions(a compare.Answer) []string {
	var found []string
	location := a.Header.Get("Location")
	if target, err := url.Parse(location); err == nil && f.isNewOnly(target.Hostname()) {
		found = append(found, "redirects to "+location)
	}
	for _, cookie := range (&http.Response{Header: a.Header}).Cookies() {
		domain, host := strings.ToLower(strings.TrimPrefix(cookie.Domain, ".")), strings.ToLower(f.Host)
		if domain != "" && host != domain && !strings.HasSuffix(host, "."+domain) {
			found = append(found, "sets a cookie for domain "+domain)
		}
	}
	if links := f.links(a.Body); links > 0 {
		found = append(found, fmt.Sprintf("%d links to %s in the body", links, f.Service.NewHost))
	}
	return found
}

// links counts the absolute links to new_host. A link to old_host does not count, although
// one name may contain the other.
func (f Facts) links(body []byte) int {
	if !f.isNewOnly(string(f.Service.NewHost)) {
		return 0
	}
	link := regexp.MustCompile(`(?i)//` + regexp.QuoteMeta(string(f.Service.NewHost)) + `(?:[^a-z0-9.-]|$)`)
	return len(link.FindAll(body, -1))
}

func (f Facts) isNewOnly(host string) bool {
	return strings.EqualFold(host, string(f.Service.NewHost)) && !strings.EqualFold(host, f.Host)
}
