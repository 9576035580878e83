package migration

import (
	"fmt"
	"strings"
)

// Risks gives one sentence for each setting that is allowed and may surprise. A
// risk that the table before already had is left out; before may be nil.
func (t *Table) Risks(before *Table) []string {
	var found []string
	services := t.Services()
	for i := range services {
		found = append(found, t.newRisks(&services[i], before)...)
	}
	if removed := t.removedFrom(before); len(removed) > 0 {
		found = append(found, fmt.Sprintf("no longer in the config, their Ingresses go back to old: %s", strings.Join(removed, ", ")))
	}
	return found
}

// risk is a setting that a service may have, and the sentence about it.
type risk struct {
	text string
	of   func(*Table, *Service) bool
}

var risks = []risk{
	{"tls.verify is false, anybody on the way can answer for new", func(_ *Table, s *Service) bool {
		return !s.TLS.Verify && s.NewBackend.Scheme == HTTPS
	}},
	{"fallback is off, traffic stays on new when new fails", func(_ *Table, s *Service) bool {
		return !s.Fallback.Enabled && s.Enabled
	}},
	{"it goes by the client's address (ip_rules, or user_hash where the key is missing), and without trusted_proxies all clients behind an ingress controller have the controller's",
		(*Table).TakesPeerForClient},
}

func (t *Table) newRisks(s *Service, before *Table) []string {
	var old *Service
	if before != nil {
		old = before.Service(s.Name)
	}
	var found []string
	for _, risk := range risks {
		if risk.of(t, s) && (old == nil || !risk.of(before, old)) {
			found = append(found, fmt.Sprintf("service %s: %s", s.Name, risk.text))
		}
	}
	return found
}

func (t *Table) removedFrom(before *Table) []string {
	if before == nil {
		return nil
	}
	var removed []string
	for _, service := range before.Services() {
		if t.Service(service.Name) == nil {
			removed = append(removed, string(service.Name))
		}
	}
	return removed
}
