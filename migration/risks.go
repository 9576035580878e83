package migration

import (
	"fmt"
	"strings"
)

// Risks gives a sentence for each setting that is allowed but risky. It leaves out a
// risk that the previous table already had. The previous table may be nil.
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

// risk is a risky setting of a service, with the sentence about it.
type risk struct {
	text string
	of   func(*Table, *Service) bool
}

var risks = []risk{
	{"tls.verify is false, so anybody on the network path can pretend to be new", func(_ *Table, s *Service) bool {
		return !s.TLS.Verify && s.NewBackend.Scheme == HTTPS
	}},
	{"fallback is off, so traffic stays on new if new fails", func(_ *Table, s *Service) bool {
		return !s.Fallback.Enabled && s.Enabled
	}},
	{"it uses the client's address (for ip_rules, or for user_hash without a key), and without trusted_proxies all clients behind an ingress controller have the controller's address",
		(*Table).TakesPeerForClient},
	{"its hash_key is a cookie or header that changes when a user logs in or out, so users change sides and lose their sessions; use hash_key sticky, or an id that a user keeps", func(_ *Table, s *Service) bool {
		return s.Strategy == StrategyUserHash && s.HashKey.Volatile()
	}},
	{"its ramp ends at 100 %, where no request is left at old to compare new with, so that only the fallback protects it there; end with 99, and write the last step when the migration ends", func(_ *Table, s *Service) bool {
		return s.Ramp != nil && s.Ramp.Steps[len(s.Ramp.Steps)-1].To == FullShare
	}},
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
