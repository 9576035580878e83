package webhook

import (
	"fmt"
	"strings"

	"github.com/migration-proxy/migration-proxy/migration"
)

// risks are what an edit brings that is allowed and may surprise. What was so
// before is not told again. Without a table before, all is new.
func risks(before, after *migration.Table) []string {
	var found []string
	services := after.Services()
	for i := range services {
		var old *migration.Service
		if before != nil {
			old = before.Service(services[i].Name)
		}
		found = append(found, risksOf(old, &services[i])...)
	}
	if gone := removed(before, after); len(gone) > 0 {
		found = append(found, fmt.Sprintf("no longer in the config, their Ingresses go back to old: %s", strings.Join(gone, ", ")))
	}
	return found
}

// risksOf compares one service with what it was; nil: it is new.
func risksOf(old, service *migration.Service) []string {
	var found []string
	if !service.TLS.Verify && service.NewBackend.Scheme == "https" && (old == nil || old.TLS.Verify) {
		found = append(found, fmt.Sprintf("service %s: tls.verify is false, anybody on the way can answer for new", service.Name))
	}
	if !service.Fallback.Enabled && service.Enabled && (old == nil || old.Fallback.Enabled) {
		found = append(found, fmt.Sprintf("service %s: fallback is off, traffic stays on new when new fails", service.Name))
	}
	return found
}

func removed(before, after *migration.Table) []string {
	if before == nil {
		return nil
	}
	var gone []string
	for _, service := range before.Services() {
		if after.Service(service.Name) == nil {
			gone = append(gone, string(service.Name))
		}
	}
	return gone
}
