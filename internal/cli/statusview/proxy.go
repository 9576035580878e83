package statusview

import "github.com/migration-proxy/migration-proxy/internal/status"

// proxyPage is the page of one proxy.
func proxyPage(now status.Status) page {
	p := page{headline: now.Headline(), problems: texts(now.Problems())}
	for _, service := range now.Services {
		p.services = append(p.services, serviceRow{Service: service, observed: percent(service.Observed, service.ObservedRequests)})
		p.problems = append(p.problems, texts(service.Problems(now.Now))...)
	}
	if holes := now.Nginx.Holes(); holes != "" {
		p.problems = append(p.problems, holes)
	}
	return p
}

func texts(problems []status.Problem) []string {
	var found []string
	for _, problem := range problems {
		found = append(found, problem.Text)
	}
	return found
}
