package health

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/migration"
)

// maxHeaderBytes is how much of a response is read to find its status.
const maxHeaderBytes = 64 << 10

// prober makes real probes.
type prober struct {
	dialer net.Dialer
	certs  *certFiles
}

func newProber(roots string, files Files) *prober {
	return &prober{certs: newCertFiles(roots, files)}
}

// probe probes an address once; ctx must have a deadline.
func (p *prober) probe(ctx context.Context, spec Spec, addr netip.AddrPort) error {
	conn, err := p.dialer.DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return classify(ctx, fallback.FailureConnect, err)
	}
	// Reads and writes have no context: closing the connection ends them.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		stop()
		_ = conn.Close()
	}()
	stream, err := p.handshake(ctx, spec, conn)
	if err != nil || spec.Check.Path == "" {
		return err
	}
	if spec.GRPC {
		return askHealth(ctx, stream, spec)
	}
	return get(ctx, stream, spec)
}

// handshake makes the TLS connection of an https backend.
func (p *prober) handshake(ctx context.Context, spec Spec, conn net.Conn) (net.Conn, error) {
	if spec.Backend.Scheme != migration.HTTPS {
		return conn, nil
	}
	config, err := p.certs.tlsConfig(spec)
	if err != nil {
		return nil, fmt.Errorf("not probed: %w", err)
	}
	verdict := newVerdict(config)
	stream := tls.Client(conn, config)
	if err := stream.HandshakeContext(ctx); err != nil {
		return nil, classify(ctx, fallback.FailureTLS, err)
	}
	if spec.Check.Path != "" {
		return stream, nil // the answer is the verdict
	}
	if err := verdict.await(ctx, stream); err != nil {
		return nil, classify(ctx, fallback.FailureTLS, err)
	}
	return stream, nil
}

// get requests the path and checks the status.
func get(ctx context.Context, conn net.Conn, spec Spec) error {
	request, err := http.NewRequest(http.MethodGet, "http://"+spec.Host+spec.Check.Path, nil)
	if err != nil {
		return fmt.Errorf("not probed: %w", err)
	}
	request.Header.Set("User-Agent", "migration-proxy")
	request.Close = true
	if spec.ClientHost != "" {
		// As for clients that use https: without it an application may redirect the
		// probe to https, and with it one that does so redirects everybody.
		request.Header.Set("X-Forwarded-Proto", "https")
		request.Header.Set("X-Forwarded-Host", spec.ClientHost)
	}
	if err := request.Write(conn); err != nil {
		return classify(ctx, fallback.FailureReset, err)
	}
	response, err := readResponse(bufio.NewReader(io.LimitReader(conn, maxHeaderBytes)), request) //nolint:bodyclose // the connection is closed instead
	if err != nil {
		return classify(ctx, fallback.FailureReset, err)
	}
	if err := judgeStatus(response.StatusCode, spec); err != nil {
		return err
	}
	if spec.ClientHost != "" && leadsBack(response, spec) {
		return &failedProbe{fallback.FailureRedirect, fmt.Errorf("%d to %s, which a client gets as the address that it asked for",
			response.StatusCode, response.Header.Get("Location"))}
	}
	return nil
}

func judgeStatus(status int, spec Spec) error {
	if status < spec.Check.StatusMin || status > spec.Check.StatusMax {
		return &failedProbe{fallback.FailureStatus, fmt.Errorf("%d is not %d to %d", status, spec.Check.StatusMin, spec.Check.StatusMax)}
	}
	return nil
}

// leadsBack tells whether a redirect leads to what was asked for, once its host is
// translated to the one of the client. With a cookie the next request may be another.
func leadsBack(response *http.Response, spec Spec) bool {
	target, err := response.Location()
	if err != nil || response.StatusCode < 300 || response.StatusCode > 399 || response.Header.Get("Set-Cookie") != "" {
		return false
	}
	host := migration.NormalizeHost(target.Host)
	return (host == spec.Host || host == spec.ClientHost) && target.RequestURI() == response.Request.URL.RequestURI()
}

// readResponse skips informational responses (1xx). The body is not read.
func readResponse(reader *bufio.Reader, request *http.Request) (*http.Response, error) {
	for {
		response, err := http.ReadResponse(reader, request) //nolint:bodyclose // the connection is closed instead
		if err != nil {
			return nil, err
		}
		if response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols {
			return response, nil
		}
	}
}

// localErrors mean that this machine has no descriptors, ports or memory left.
var localErrors = []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL}

// classify gives a *failedProbe when the other side is at fault, and another
// error when this machine has run out of something or the checker ends. The
// failure has the given kind, or is a timeout; a timeout while connecting is a
// failure to connect, as in nginx's log.
func classify(ctx context.Context, kind fallback.Failure, err error) error {
	isLocal := func(local error) bool { return errors.Is(err, local) }
	if slices.ContainsFunc(localErrors, isLocal) || errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("not probed: %w", err)
	}
	if ctx.Err() != nil && kind != fallback.FailureConnect {
		return &failedProbe{fallback.FailureTimeout, ctx.Err()}
	}
	return &failedProbe{kind, err}
}
