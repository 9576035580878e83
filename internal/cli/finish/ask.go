package finish

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/migration-proxy/migration-proxy/compare"
	"github.com/migration-proxy/migration-proxy/finish"
	"github.com/migration-proxy/migration-proxy/migration"
)

// askTimeout bounds a handshake, and a request with its answer.
const askTimeout = 10 * time.Second

// asker asks new, without the proxy.
type asker struct {
	service *migration.Service
	host    string // old_host
	address string // of new, as clients will reach it
	roots   *x509.CertPool
}

func newAsker(s *migration.Service, o Options) (*asker, error) {
	a := &asker{service: s, host: o.Host, address: s.NewBackend.HostPort()}
	if o.NewAddress != "" {
		a.address = o.NewAddress
	}
	if o.CAFile == "" {
		return a, nil // nil is the system's
	}
	text, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("--ca-file: %w", err)
	}
	if a.roots, err = x509.SystemCertPool(); err != nil {
		a.roots = x509.NewCertPool()
	}
	if !a.roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--ca-file %s has no certificate in PEM", o.CAFile)
	}
	return a, nil
}

// unreachable is why no connection to new can be made; "" if one can.
func (a *asker) unreachable(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", a.address)
	if err != nil {
		return err.Error()
	}
	_ = conn.Close()
	return ""
}

func (a *asker) plain() bool {
	return a.service.NewBackend.Scheme != migration.HTTPS && a.address == a.service.NewBackend.HostPort()
}

// certificate makes a handshake with the server name old_host.
func (a *asker) certificate(ctx context.Context) finish.Certificate {
	found := finish.Certificate{Address: a.address, Plain: a.plain()}
	if found.Plain {
		return found
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	// Name and chain are verified below, each for itself.
	dialer := tls.Dialer{Config: &tls.Config{ServerName: a.host, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}} //nolint:gosec // see above
	conn, err := dialer.DialContext(ctx, "tcp", a.address)
	if err != nil {
		found.Failure = err.Error()
		return found
	}
	defer conn.Close()
	secure, ok := conn.(*tls.Conn)
	if !ok || len(secure.ConnectionState().PeerCertificates) == 0 {
		found.Failure = "no certificate"
		return found
	}
	a.verify(secure.ConnectionState().PeerCertificates, &found)
	return found
}

func (a *asker) verify(chain []*x509.Certificate, found *finish.Certificate) {
	leaf, others := chain[0], x509.NewCertPool()
	for _, certificate := range chain[1:] {
		others.AddCert(certificate)
	}
	found.NotAfter = leaf.NotAfter
	if err := leaf.VerifyHostname(a.host); err != nil {
		found.Name = err.Error()
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: a.roots, Intermediates: others}); err != nil {
		found.Chain = err.Error()
	}
}

// answers asks for each path under both names, in turn.
func (a *asker) answers(ctx context.Context, paths []string) []finish.Answer {
	asOld := a.client(a.address, a.host)
	asNew := a.client(a.service.NewBackend.HostPort(), string(a.service.ServerName()))
	defer asOld.CloseIdleConnections()
	defer asNew.CloseIdleConnections()
	answers := make([]finish.Answer, len(paths))
	for i, path := range paths {
		one := &answers[i]
		one.Path = path
		one.AsNew[0] = a.get(ctx, asNew, string(a.service.NewHost), path)
		for turn := range one.AsOld {
			one.AsOld[turn] = a.get(ctx, asOld, a.host, path)
			one.AsNew[turn+1] = a.get(ctx, asNew, string(a.service.NewHost), path)
		}
	}
	return answers
}

// client connects to an address, whatever a URL says. It trusts any certificate: that of
// old_host is an item of its own, and nothing that is sent is a secret.
func (a *asker) client(address, serverName string) *http.Client {
	return &http.Client{
		Timeout:       askTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, address)
			},
			TLSClientConfig: &tls.Config{ServerName: serverName, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, //nolint:gosec // see above
		},
	}
}

func (a *asker) get(ctx context.Context, client *http.Client, host, path string) compare.Answer {
	scheme := "https"
	if a.plain() {
		scheme = "http"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+host+path, nil)
	if err != nil {
		return unanswered(err)
	}
	request.Header.Set("User-Agent", "migration-proxy-finish")
	answer, err := client.Do(request)
	if err != nil {
		return unanswered(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, compare.MaxBody))
	if err != nil {
		return unanswered(err)
	}
	return compare.Answer{Status: answer.StatusCode, Header: answer.Header, Body: body}
}

func unanswered(err error) compare.Answer {
	return compare.Answer{Failure: compare.Reset, Detail: withoutURL(err)}
}

// withoutURL is the cause of a failed request, whose URL is known.
func withoutURL(err error) string {
	var failed interface{ Unwrap() error }
	if errors.As(err, &failed) {
		return failed.Unwrap().Error()
	}
	return err.Error()
}
