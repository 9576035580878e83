package migration

import (
	"fmt"
	"path"
	"slices"
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
	{"a backend is an address at which clouds give a machine its credentials, so that clients of the old host get them", func(_ *Table, s *Service) bool {
		return s.OldBackend.isMetadata() || s.NewBackend.isMetadata()
	}},
	{"a file of tls is in a folder of secrets that Kubernetes mounts into each pod, and a token there is not for new", func(_ *Table, s *Service) bool {
		return slices.ContainsFunc([]string{s.TLS.CAFile, s.TLS.ClientCertFile, s.TLS.ClientKeyFile}, isTokenFile)
	}},
	{"its ramp ends at 100 %, where no request is left at old to compare new with, so that only the fallback protects it there; end with 99, and write the last step when the migration ends", func(_ *Table, s *Service) bool {
		return s.Ramp != nil && s.Ramp.Steps[len(s.Ramp.Steps)-1].To == FullShare
	}},
}

// isMetadata tells whether a backend is the metadata service of a cloud.
func (b Backend) isMetadata() bool {
	addr, isAddress := b.Addr()
	if !isAddress {
		return b.Host == "metadata.google.internal" || b.Host == "metadata"
	}
	addr = addr.Unmap()
	return addr.Is4() && addr.IsLinkLocalUnicast() || // 169.254.169.254 of most clouds, and others near it
		slices.Contains([]string{"fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16"}, addr.String())
}

// isTokenFile tells whether a file is where Kubernetes mounts the token of a pod. Only
// ca.crt there is for others.
func isTokenFile(file string) bool {
	clean := strings.TrimPrefix(path.Clean(file), "/var")
	return strings.HasPrefix(clean, "/run/secrets/kubernetes.io/") && path.Base(clean) != "ca.crt"
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
	if share := old.shareLostToRamp(s); share > 0 {
		found = append(found, fmt.Sprintf("service %s: it had %s %%, and its ramp begins at 0 %%, so that part returns to old until the ramp has climbed; "+
			"migration-proxy ramp %[1]s skip takes a step at once", s.Name, share))
	}
	if share := old.shareFreedOfRamp(s); share > 0 {
		found = append(found, fmt.Sprintf("service %s: nothing holds its share at the position of its ramp any more, so percentage %s is in force at once; "+
			"where the ramp was lower, write its position as percentage first (migration-proxy ramp %[1]s)", s.Name, share))
	}
	return found
}

// shareFreedOfRamp is the percentage of a service whose ramp goes, or only advises from now
// on.
func (s *Service) shareFreedOfRamp(after *Service) Share {
	if s == nil || s.Ramp == nil || s.Ramp.Advise || after.Ramp != nil && !after.Ramp.Advise {
		return 0
	}
	return after.EffectiveShare()
}

// shareLostToRamp is the share of a service that gets a ramp, which begins at 0.
func (s *Service) shareLostToRamp(after *Service) Share {
	if s == nil || s.Ramp != nil || after.Ramp == nil || after.Ramp.Advise {
		return 0
	}
	return s.EffectiveShare()
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
