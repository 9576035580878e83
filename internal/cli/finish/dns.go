package finish

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/migration-proxy/migration-proxy/finish"
)

// dnsTimeout bounds one question.
const dnsTimeout = 3 * time.Second

// resolvConf names the name servers of this machine.
const resolvConf = "/etc/resolv.conf"

// nameServer asks one name server.
type nameServer struct {
	address string // host:port
	port    string // of the servers of zones
}

// newNameServer takes HOST, HOST:PORT, or "" for that of this machine.
func newNameServer(address string) (nameServer, error) {
	if address == "" {
		conf, err := dns.ClientConfigFromFile(resolvConf)
		if err != nil || len(conf.Servers) == 0 {
			return nameServer{}, fmt.Errorf("%s names no name server; name one with --dns-server", resolvConf)
		}
		return nameServer{net.JoinHostPort(conf.Servers[0], conf.Port), conf.Port}, nil
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nameServer{net.JoinHostPort(strings.Trim(address, "[]"), "53"), "53"}, nil
	}
	return nameServer{address, "53"}, nil
}

// ask asks for records of a name. No such name is an answer without records.
func (n nameServer) ask(ctx context.Context, name string, kind uint16) (*dns.Msg, error) {
	question := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
	question.SetEdns0(4096, false)
	client := dns.Client{Timeout: dnsTimeout}
	answer, _, err := client.ExchangeContext(ctx, question, n.address)
	if err == nil && answer.Truncated {
		client.Net = "tcp"
		answer, _, err = client.ExchangeContext(ctx, question, n.address)
	}
	if err != nil {
		return nil, fmt.Errorf("%s of %s: %w", dns.TypeToString[kind], name, err)
	}
	if answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError {
		return nil, fmt.Errorf("%s of %s: %s", dns.TypeToString[kind], name, dns.RcodeToString[answer.Rcode])
	}
	return answer, nil
}

// lookUp finds the records of a host and their owner. Prefix is --txt-prefix of external-dns.
func (n nameServer) lookUp(ctx context.Context, host, prefix string) finish.DNS {
	found := finish.DNS{Server: n.address}
	if err := n.records(ctx, host, &found); err != nil {
		found.Failure = err.Error()
	}
	for _, name := range ownerNames(host, prefix) {
		owners, err := n.owners(ctx, name)
		if err != nil {
			found.OwnersFailure = err.Error()
			break
		}
		found.Owners = append(found.Owners, owners...)
	}
	return found
}

func (n nameServer) records(ctx context.Context, host string, found *finish.DNS) error {
	for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
		answer, err := n.ask(ctx, host, kind)
		if err != nil {
			return err
		}
		if len(answer.Answer) == 0 {
			continue
		}
		found.Chain, found.Authoritative = chain(answer.Answer), answer.Authoritative
		if !answer.Authoritative {
			n.askZone(ctx, host, kind, found)
		}
		return nil
	}
	return nil
}

// askZone replaces what is left of the TTL by the whole one, if a server of the zone can be
// asked.
func (n nameServer) askZone(ctx context.Context, host string, kind uint16, found *finish.DNS) {
	for name := dns.Fqdn(host); name != "."; name = parent(name) {
		zone, err := n.ask(ctx, name, dns.TypeNS)
		if err != nil {
			return
		}
		for _, record := range zone.Answer {
			server, ok := record.(*dns.NS)
			if !ok {
				continue
			}
			answer, err := (nameServer{net.JoinHostPort(strings.TrimSuffix(server.Ns, "."), n.port), n.port}).ask(ctx, host, kind)
			if err == nil && answer.Authoritative && len(answer.Answer) > 0 {
				found.Server, found.Authoritative = server.Ns, true
				found.Chain[0] = chain(answer.Answer)[0]
			}
			return
		}
	}
}

func parent(name string) string {
	next, end := dns.NextLabel(name, 0)
	if end {
		return "."
	}
	return name[next:]
}

func chain(records []dns.RR) []finish.Record {
	var all []finish.Record
	for _, record := range records {
		header := record.Header()
		value := strings.TrimSpace(strings.TrimPrefix(record.String(), header.String()))
		all = append(all, finish.Record{
			Name: strings.TrimSuffix(header.Name, "."), Type: dns.TypeToString[header.Rrtype], Value: value, TTL: time.Duration(header.Ttl) * time.Second,
		})
	}
	return all
}

// ownerNames are where external-dns writes the owner of the records of a host: since 0.12
// with the type of the record, before without.
func ownerNames(host, prefix string) []string {
	var names []string
	for _, kind := range []string{"a-", "aaaa-", "cname-", ""} {
		if strings.Contains(prefix, "%{record_type}") {
			names = append(names, strings.ReplaceAll(prefix, "%{record_type}", strings.TrimSuffix(kind, "-"))+host)
			continue
		}
		names = append(names, prefix+kind+host)
	}
	return names
}

func (n nameServer) owners(ctx context.Context, name string) ([]finish.Owner, error) {
	answer, err := n.ask(ctx, name, dns.TypeTXT)
	if err != nil {
		return nil, err
	}
	var found []finish.Owner
	for _, record := range answer.Answer {
		text, ok := record.(*dns.TXT)
		if !ok {
			continue
		}
		if owner, ok := finish.ParseOwner(name, strings.Join(text.Txt, "")); ok {
			found = append(found, owner)
		}
	}
	return found, nil
}
