package finish_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	clifinish "github.com/migration-proxy/migration-proxy/internal/cli/finish"
	"github.com/migration-proxy/migration-proxy/internal/cli/oneproxy"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/journal"
)

// rig is everything that finish asks: a proxy with its journal, new, and a name server.
// The zero faults make a migration that can end.
type rig struct {
	share      float64
	entries    []journal.Entry
	names      []string // in the certificate of new
	validity   time.Duration
	stranger   bool                                     // another authority signs the certificate
	answer     func(w http.ResponseWriter, host string) // of new
	zone       []string                                 // records
	resolver   bool                                     // the name server is not one of the zone
	lastServed time.Time
}

// healthy is a migration that can end.
func healthy() *rig {
	now := time.Now()
	return &rig{
		share: 100, names: []string{"shop.example", "shop.new.example"}, validity: 90 * 24 * time.Hour, lastServed: now,
		entries: []journal.Entry{
			{At: now.Add(-72 * time.Hour), Kind: journal.Share, Service: "shop", To: "5"},
			{At: now.Add(-48 * time.Hour), Kind: journal.FellBack, Service: "shop", What: "fell back to old"},
			{At: now.Add(-30 * time.Hour), Kind: journal.Share, Service: "shop", From: "5", To: "100"},
			{At: now.Add(-2 * time.Hour), Kind: journal.FellBack, Service: "shop", What: "fell back to old", Drill: true},
		},
		answer: func(w http.ResponseWriter, host string) {
			w.Header().Set("Location", "https://"+host+"/home")
			w.WriteHeader(http.StatusFound)
		},
		zone: []string{
			"shop.example. 60 IN CNAME lb.old.example.", "lb.old.example. 3600 IN A 192.0.2.1",
			`cname-shop.example. 60 IN TXT "heritage=external-dns,external-dns/owner=old-cluster,external-dns/resource=ingress/web/shop"`,
		},
	}
}

// start gives the arguments that lead to the stubs.
func (f *rig) start(t *testing.T) (clifinish.Source, clifinish.Options) {
	t.Helper()
	dir := t.TempDir()
	address, caFile := f.startNew(t, dir)
	config := filepath.Join(dir, "migration.yaml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, "services: [{name: shop, old_host: shop.example, old_backend: 'old.example:80', "+
		"new_host: shop.new.example, new_backend: 'https://%s', migration: {enabled: true, percentage: 100}}]", address), 0o600))
	entries, err := journal.Journal{}.Append(f.entries...).Text()
	require.NoError(t, err)
	text, err := json.Marshal(map[string]string{journal.EntriesKey: entries})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "journal.json"), text, 0o600))
	proxy, err := oneproxy.New(f.startProxy(t))
	require.NoError(t, err)
	return clifinish.Local{File: config, RuntimeDir: dir, Proxy: proxy}, clifinish.Options{
		Service: "shop", Quiet: 24 * time.Hour, Paths: []string{"/login"}, CAFile: caFile, DNSServer: f.startDNS(t),
	}
}

func (f *rig) startProxy(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(status.Status{
			Version: "test", Ready: true, StartedAt: f.lastServed, Config: status.Config{Digest: "d"},
			Services: []status.Service{{Name: "shop", OldHost: "shop.example", PathPrefix: "/", Share: f.share, Phase: status.Migrating, LastRequest: f.lastServed}},
		})
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// startNew starts new, and gives its address and the file of its authority.
func (f *rig) startNew(t *testing.T, dir string) (address, caFile string) {
	t.Helper()
	authority := newPair(t, nil, pairOf{ca: true, validity: time.Hour * 24 * 365})
	signer := authority
	if f.stranger {
		signer = newPair(t, nil, pairOf{ca: true, validity: time.Hour * 24 * 365})
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.answer(w, r.Host) }))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{newPair(t, &signer, pairOf{names: f.names, validity: f.validity})}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	caFile = filepath.Join(dir, "ca.pem")
	require.NoError(t, os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Certificate[0]}), 0o600))
	return server.Listener.Addr().String(), caFile
}

type pairOf struct {
	names    []string
	ca       bool
	validity time.Duration
}

// newPair makes a certificate; a nil signer is itself.
func newPair(t *testing.T, signer *tls.Certificate, of pairOf) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "test"}, DNSNames: of.names, IsCA: of.ca, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(of.validity), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	parent, signKey := template, key
	if signer != nil {
		parent, err = x509.ParseCertificate(signer.Certificate[0])
		require.NoError(t, err)
		signKey = signer.PrivateKey.(*ecdsa.PrivateKey)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signKey)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// startDNS serves the zone.
func (f *rig) startDNS(t *testing.T) string {
	t.Helper()
	var records []dns.RR
	for _, text := range f.zone {
		record, err := dns.NewRR(text)
		require.NoError(t, err)
		records = append(records, record)
	}
	socket, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &dns.Server{PacketConn: socket, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, question *dns.Msg) {
		answer := new(dns.Msg).SetReply(question)
		answer.Authoritative = !f.resolver
		name := question.Question[0].Name
		for _, record := range records {
			header := record.Header()
			if header.Name != name || header.Rrtype != question.Question[0].Qtype && header.Rrtype != dns.TypeCNAME {
				continue
			}
			answer.Answer = append(answer.Answer, record)
			if alias, ok := record.(*dns.CNAME); ok {
				name = alias.Target
			}
		}
		_ = w.WriteMsg(answer)
	})}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = server.Shutdown() })
	return socket.LocalAddr().String()
}
