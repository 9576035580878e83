package scan

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/migration"
)

// Suggestion is a service that a migration config needs.
type Suggestion struct {
	Name       migration.Name
	OldHost    migration.Host
	PathPrefix migration.PathPrefix
	OldBackend migration.Backend
	GRPC       bool
	// PortUnknown is the name of the old Service's port if its number is not known;
	// then OldBackend has port 1, which no Ingress points at.
	PortUnknown string
}

// old is what a suggestion leads to.
type old struct {
	backend migration.Backend
	grpc    bool
	port    string // as in Suggestion.PortUnknown
}

type candidate struct {
	prefix migration.PathPrefix
	old    old
}

// Suggest gives the services that the Ingresses need and that the table has not, by
// name. A host of the table gets none: its services are what its user wants. Table may
// be nil. Of two Ingresses with the same host and path, the older one counts.
func Suggest(objects Objects, table *migration.Table) []Suggestion {
	hosts := map[migration.Host][]candidate{}
	for _, ingress := range oldestFirst(objects.Ingresses) {
		if isOurs(ingress) {
			continue
		}
		for _, found := range ingressgen.Candidates(ingress) {
			if table == nil || len(table.OfHost(found.Host)) == 0 {
				hosts[found.Host] = append(hosts[found.Host], candidate{found.Prefix, objects.oldOf(ingress.Namespace, found)})
			}
		}
	}
	var all []Suggestion
	names := newNames(table)
	for _, host := range sortedKeys(hosts) {
		for _, needed := range fewest(hosts[host]) {
			all = append(all, Suggestion{
				Name: names.of(host, needed.prefix), OldHost: host, PathPrefix: needed.prefix,
				OldBackend: needed.old.backend, GRPC: needed.old.grpc, PortUnknown: needed.old.port,
			})
		}
	}
	slices.SortFunc(all, func(a, b Suggestion) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// oldOf is where the requests of a candidate go today.
func (o Objects) oldOf(namespace string, c ingressgen.Candidate) old {
	found := old{grpc: c.GRPC, backend: migration.Backend{
		Scheme: c.Scheme, Host: c.Old.Name + "." + namespace + ".svc.cluster.local", Port: uint16(c.Old.Port.Number),
	}}
	if c.Old.Port.Name == "" {
		return found
	}
	number, known := ports{services: o.Services, namespace: namespace}.PortNumber(c.Old.Name, c.Old.Port.Name)
	if found.backend.Port = uint16(number); !known {
		found.backend.Port, found.port = 1, c.Old.Port.Name
	}
	return found
}

// fewest gives the candidates that are needed, the shortest prefix first: one for /
// where all requests of the host go to the same place, and none whose requests go
// where those of the prefix around it go.
//
//	/ shop, /cart shop, /api api     / shop, /api api
//	/a shop, /b shop                 / shop
func fewest(all []candidate) []candidate {
	same := !slices.ContainsFunc(all, func(c candidate) bool { return c.old != all[0].old })
	if same {
		return []candidate{{"/", all[0].old}}
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(len(a.prefix), len(b.prefix)) })
	var needed []candidate
	for _, c := range all {
		around := -1
		for i := range needed {
			if needed[i].prefix.Matches(string(c.prefix)) {
				around = i // the last one is the longest
			}
		}
		if around < 0 || needed[around].prefix != c.prefix && needed[around].old != c.old {
			needed = append(needed, c)
		}
	}
	return needed
}

// names makes unique names of services.
type names map[migration.Name]bool

func newNames(table *migration.Table) names {
	taken := names{}
	if table != nil {
		for _, service := range table.Services() {
			taken[service.Name] = true
		}
	}
	return taken
}

// maxName leaves room for a number.
const maxName = 57

// notInName are the characters of hosts and paths that a name cannot have.
var notInName = strings.NewReplacer("*", "any", "/", "-", "~", "-", "!", "-", "&", "-", "'", "-", "(", "-", ")", "-",
	"+", "-", ",", "-", "=", "-", ":", "-", "@", "-")

// of is the host with the path: that stays the same when other Ingresses come or go.
//
//	shop.example.com   /        shop.example.com
//	*.example.com      /Api/v1  any.example.com-api-v1
func (n names) of(host migration.Host, prefix migration.PathPrefix) migration.Name {
	text := notInName.Replace(strings.ToLower(strings.TrimSuffix(string(host)+string(prefix), "/")))
	text = strings.Trim(text[:min(len(text), maxName)], "-._")
	name := migration.Name(text)
	for i := 2; n[name]; i++ {
		name = migration.Name(text + "-" + strconv.Itoa(i))
	}
	n[name] = true
	return name
}

// portOf writes a backend for people: "api:8080", "api:http".
func portOf(b networkingv1.IngressServiceBackend) string {
	return b.Name + ":" + cmp.Or(b.Port.Name, fmt.Sprint(b.Port.Number))
}
