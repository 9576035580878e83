package finish

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// maxTTL is how long the way back may take at most.
	maxTTL = 5 * time.Minute
	// switchTTL is the TTL to write before the switch.
	switchTTL = time.Minute
)

// ttl tells whether a change of the record is soon seen by everybody.
func (f Facts) ttl() finding {
	if f.DNS.Failure != "" {
		return unknown("name the zone's own name server with --dns-server", "%s: %s", f.DNS.Server, f.DNS.Failure)
	}
	if len(f.DNS.Chain) == 0 {
		return unknown("if clients use another name server, name it with --dns-server", "%s knows no address of %s", f.DNS.Server, f.Host)
	}
	record := f.DNS.Chain[0]
	found := f.judgeTTL(record)
	for _, r := range f.DNS.Chain {
		found.details = append(found.details, fmt.Sprintf("%s %d %s %s", r.Name, int(r.TTL.Seconds()), r.Type, r.Value))
	}
	return found
}

func (f Facts) judgeTTL(record Record) finding {
	switch {
	case record.TTL > maxTTL:
		return missing(fmt.Sprintf("lower it to %d now, and change nothing else for %s: only then have all resolvers forgotten the old one", int(switchTTL.Seconds()), short(record.TTL)),
			"the TTL of %s is %s: the way back would take as long", record.Name, short(record.TTL))
	case !f.DNS.Authoritative:
		return unknown("name the zone's own name server with --dns-server", "%s is a resolver, which says only how much of the TTL is left (%s)", f.DNS.Server, short(record.TTL))
	}
	return done("the TTL of %s is %s", record.Name, short(record.TTL))
}

// owner tells whether external-dns will fight for the record.
func (f Facts) owner() finding {
	if f.DNS.OwnersFailure != "" {
		return unknown("name the zone's own name server with --dns-server", "%s: %s", f.DNS.Server, f.DNS.OwnersFailure)
	}
	owners := f.owners()
	switch len(owners) {
	case 0:
		found := done("no TXT record of external-dns is there, so the record is changed where it was written")
		found.details = f.byHand()
		return found
	case 1:
		found := done("external-dns of the owner %q", owners[0])
		found.details = f.handOver(owners[0])
		return found
	}
	found := missing("decide for one, stop the other external-dns, and remove its TXT record", "TXT records name %d owners: %s", len(owners), strings.Join(owners, ", "))
	for _, o := range f.DNS.Owners {
		found.details = append(found.details, fmt.Sprintf("%s TXT %q", o.Name, o.Text))
	}
	return found
}

func (f Facts) owners() []string {
	var names []string
	for _, o := range f.DNS.Owners {
		if !slices.Contains(names, o.Owner) {
			names = append(names, o.Owner)
		}
	}
	return names
}

// newRecord is the record that leads to new.
func (f Facts) newRecord() string {
	kind, target := newTarget(f.Service.NewBackend.Host)
	return fmt.Sprintf("%s. %d IN %s %s", f.Host, int(switchTTL.Seconds()), kind, target)
}

func (f Facts) byHand() []string {
	return []string{
		"# The switch: one record, where your DNS is kept. The way back is the record of before.",
		f.newRecord(),
	}
}

// handOver are the steps from the external-dns of the old cluster to that of the new one,
// in an order in which no record is ever deleted.
func (f Facts) handOver(owner string) []string {
	lines := []string{
		"# 1. In the old cluster: external-dns must not delete what it loses. Use policy upsert-only, or stop it:",
		"kubectl --namespace external-dns scale deployment external-dns --replicas=0",
		"# 2. In the zone: the record belongs to the owner of the new cluster (its --txt-owner-id) from now on.",
	}
	for _, o := range f.DNS.Owners {
		text := strings.ReplaceAll(o.Text, "external-dns/owner="+owner, "external-dns/owner=NEW-OWNER")
		lines = append(lines, fmt.Sprintf("%s. %d IN TXT %q", strings.TrimSuffix(o.Name, "."), int(switchTTL.Seconds()), text))
	}
	lines = append(lines,
		"# 3. In the zone: the switch. The way back is the record of before.",
		f.newRecord(),
		"# 4. In the new cluster: the source of the record, for example: migration-proxy finish "+string(f.Service.Name)+" -o dnsendpoint",
		"# Without step 2 the new external-dns makes the record without an owner (external-dns#6617). Do not use its",
		"# --migrate-from-txt-owner with policy sync in a zone that clusters share: it deletes what others own (external-dns#5993).",
		"# 5. In the old cluster: the hostname off the old objects"+resources(f.DNS.Owners)+", and external-dns on again.")
	return lines
}

func resources(owners []Owner) string {
	var names []string
	for _, o := range owners {
		if o.Resource != "" && !slices.Contains(names, o.Resource) {
			names = append(names, o.Resource)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " (" + strings.Join(names, ", ") + ")"
}

// ParseOwner reads a TXT record of external-dns.
func ParseOwner(name, text string) (Owner, bool) {
	fields := map[string]string{}
	for field := range strings.SplitSeq(strings.Trim(text, `"`), ",") {
		key, value, _ := strings.Cut(field, "=")
		fields[strings.TrimSpace(key)] = value
	}
	if fields["heritage"] != "external-dns" || fields["external-dns/owner"] == "" {
		return Owner{}, false
	}
	return Owner{Name: name, Text: strings.Trim(text, `"`), Owner: fields["external-dns/owner"], Resource: fields["external-dns/resource"]}, true
}
