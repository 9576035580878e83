package finish_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/finish"
	"github.com/migration-proxy/migration-proxy/internal/golden"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/migration"
)

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

func service(t *testing.T, rest string) *migration.Service {
	t.Helper()
	table, err := config.Load("test", []byte("services: [{name: shop, old_host: shop.example, old_backend: 'shop.web.svc:80', "+
		"new_host: shop.new.example, new_backend: 'lb.new.example:443', path_prefix: /shop, "+rest+"}]"))
	require.NoError(t, err)
	return table.Service("shop")
}

// byID are the items of a checklist.
func byID(f finish.Facts) map[string]finish.Item {
	items := map[string]finish.Item{}
	for _, item := range finish.Check(f) {
		items[item.ID] = item
	}
	return items
}

// TestNothingIsKnown: without facts no item is ticked, and each has a way out.
func TestNothingIsKnown(t *testing.T) {
	t.Parallel()
	facts := finish.Facts{
		Now: noon, Quiet: time.Hour, Service: service(t, ""), Host: "shop.example", JournalErr: "forbidden",
		Replicas: []finish.Replica{{Name: "a", Problem: "timeout"}}, Unreachable: "no route", DNS: finish.DNS{Failure: "SERVFAIL", OwnersFailure: "SERVFAIL"},
	}
	for id, item := range byID(facts) {
		require.Equal(t, finish.Unknown, item.State, id)
		require.NotEmpty(t, item.Reason, id)
		require.NotEmpty(t, item.WayOut, id)
	}
	require.False(t, finish.AllDone(finish.Check(facts)))
}

// TestShare has what else keeps requests at old.
func TestShare(t *testing.T) {
	t.Parallel()
	row := status.Service{Share: 99, Phase: status.Migrating}
	full := journal.Journal{}.Append(journal.Entry{At: noon.Add(-2 * time.Hour), Kind: journal.Share, Service: "shop", To: "99"})
	replica := func(change func(*status.Service)) []finish.Replica {
		changed := row
		change(&changed)
		return []finish.Replica{{Name: "a", Row: row}, {Name: "b", Row: changed}}
	}
	for name, c := range map[string]struct {
		replicas []finish.Replica
		config   string
		state    finish.State
		reason   string
	}{
		"99 is enough":    {replica(func(*status.Service) {}), "", finish.Done, "in 2 of 2 replicas since 2026-12-01 10:00 UTC"},
		"fallen back":     {replica(func(s *status.Service) { s.Phase, s.Reason = status.FallenBack, "5 failures" }), "", finish.NotDone, "b is FallenBack: 5 failures"},
		"one replica":     {replica(func(s *status.Service) { s.Share = 98.99 }), "", finish.NotDone, "b sends 98.99 %"},
		"no replica":      {nil, "", finish.NotDone, "no replica is ready"},
		"a rule to old":   {replica(func(*status.Service) {}), "canary: {ip_rules: [{cidr: 10.0.0.0/8, target: old_cluster}]}", finish.NotDone, "rules send requests to old"},
		"one is silent":   {[]finish.Replica{{Name: "a", Row: row}, {Name: "b", Problem: "timeout"}}, "", finish.Unknown, "b: timeout"},
		"strategy header": {replica(func(s *status.Service) { s.Share = 0 }), "canary: {header_rules: [{header: X-A, value: b, target: new_cluster}]}, migration: {strategy: header}", finish.NotDone, "b sends 0 %"},
	} {
		item := byID(finish.Facts{Now: noon, Quiet: time.Hour, Service: service(t, c.config), Journal: full, Replicas: c.replicas})[finish.ItemShare]
		require.Equal(t, c.state, item.State, name)
		require.Contains(t, item.Reason, c.reason, name)
	}
}

// TestTheJournalHasForgotten: what a replica knows counts then.
func TestTheJournalHasForgotten(t *testing.T) {
	t.Parallel()
	facts := finish.Facts{Now: noon, Quiet: time.Hour, Service: service(t, ""), Replicas: []finish.Replica{{Name: "a", Row: status.Service{
		Share: 100, Phase: status.Migrating, Split: status.Split{Since: noon.Add(-2 * time.Hour)},
	}}}}
	require.Equal(t, finish.Done, byID(facts)[finish.ItemShare].State)
	facts.Replicas[0].Row.Split = status.Split{}
	require.Equal(t, finish.Unknown, byID(facts)[finish.ItemShare].State)
}

func TestParseOwner(t *testing.T) {
	t.Parallel()
	owner, ok := finish.ParseOwner("a-shop.example", `"heritage=external-dns,external-dns/owner=old,external-dns/resource=ingress/web/shop"`)
	require.True(t, ok)
	require.Equal(t, "old", owner.Owner)
	require.Equal(t, "ingress/web/shop", owner.Resource)
	for _, text := range []string{"", "v=spf1 -all", "heritage=external-dns", "external-dns/owner=old"} {
		_, ok := finish.ParseOwner("shop.example", text)
		require.False(t, ok, text)
	}
}

// ingress is what a user has written.
func ingress() *networkingv1.Ingress {
	exact, anyPath := networkingv1.PathTypeExact, networkingv1.PathTypeImplementationSpecific
	old := networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "shop", Port: networkingv1.ServiceBackendPort{Number: 80}}}
	return &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "shop", Annotations: map[string]string{
			"nginx.ingress.kubernetes.io/proxy-read-timeout": "120", "nginx.ingress.kubernetes.io/use-regex": "true",
			"nginx.ingress.kubernetes.io/enable-cors": "true", "migration-proxy.io/enabled": "true", "cert-manager.io/cluster-issuer": "x",
		}},
		Spec: networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{{Host: "shop.example", IngressRuleValue: networkingv1.IngressRuleValue{
			HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{
				{Path: "/shop", PathType: &exact, Backend: old}, {Path: "/shop/v(1|2)", PathType: &anyPath, Backend: old}, {Path: "/blog", PathType: &exact, Backend: old},
			}},
		}}}},
	}
}

// TestManifests are what people apply.
func TestManifests(t *testing.T) {
	t.Parallel()
	known := finish.Target{
		Namespace: "web", Gateway: finish.ObjectID{Namespace: "infra", Name: "public"}, Section: "https", Backend: "web", Port: 8080, Class: "kong", Issuer: "dns", Address: "192.0.2.7",
	}
	for _, kind := range []finish.Kind{finish.KindHTTPRoute, finish.KindIngress, finish.KindCertificate, finish.KindDNSEndpoint} {
		for file, manifest := range map[string]finish.Manifest{
			"known":   finish.NewManifest(kind, service(t, ""), []*networkingv1.Ingress{ingress()}, known),
			"unknown": finish.NewManifest(kind, service(t, ""), nil, finish.Target{}),
		} {
			text := ""
			for _, line := range manifest.Unsaid {
				text += "# " + line + "\n"
			}
			object, err := json.Marshal(manifest.Object)
			require.NoError(t, err)
			object, err = yaml.JSONToYAML(object)
			require.NoError(t, err)
			golden.Check(t, "testdata/"+string(kind)+"-"+file+".yaml", append([]byte(text), object...))
		}
	}
}
