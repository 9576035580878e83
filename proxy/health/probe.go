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

// longestHeader is how much of a response is read, in bytes, to find a status.
const longestHeader = 64 << 10

// prober makes real probes.
type prober struct {
	dialer net.Dialer
	trust  *trust
}

func newProber(roots string) *prober {
	return &prober{trust: newTrust(roots)}
}

// probe asks an address once; ctx must have a deadline.
func (p *prober) probe(ctx context.Context, spec Spec, addr netip.AddrPort) error {
	conn, err := p.dialer.DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return blame(ctx, fallback.FailureConnect, err)
	}
	// Reading and writing know no context; this ends them with it.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		stop()
		_ = conn.Close()
	}()
	stream, err := p.secure(ctx, spec, conn)
	if err != nil || spec.Check.Path == "" {
		return err
	}
	return get(ctx, stream, spec)
}

// secure shakes hands with https.
func (p *prober) secure(ctx context.Context, spec Spec, conn net.Conn) (net.Conn, error) {
	if spec.Backend.Scheme != migration.HTTPS {
		return conn, nil
	}
	config, err := p.trust.config(spec)
	if err != nil {
		return nil, fmt.Errorf("not probed: %w", err)
	}
	stream := tls.Client(conn, config)
	if err := stream.HandshakeContext(ctx); err != nil {
		return nil, blame(ctx, fallback.FailureTLS, err)
	}
	return stream, nil
}

// get asks for the path and judges the status.
func get(ctx context.Context, conn net.Conn, spec Spec) error {
	request, err := http.NewRequest(http.MethodGet, "http://"+spec.Host+spec.Check.Path, nil)
	if err != nil {
		return fmt.Errorf("not probed: %w", err)
	}
	request.Header.Set("User-Agent", "migration-proxy")
	request.Close = true
	if err := request.Write(conn); err != nil {
		return blame(ctx, fallback.FailureReset, err)
	}
	status, err := readStatus(bufio.NewReader(io.LimitReader(conn, longestHeader)), request)
	if err != nil {
		return blame(ctx, fallback.FailureReset, err)
	}
	if status < spec.Check.StatusMin || status > spec.Check.StatusMax {
		return &failed{fallback.FailureStatus, fmt.Errorf("%d is not %d to %d", status, spec.Check.StatusMin, spec.Check.StatusMax)}
	}
	return nil
}

// readStatus passes over 1xx. The body is nobody's business.
func readStatus(reader *bufio.Reader, request *http.Request) (int, error) {
	for {
		response, err := http.ReadResponse(reader, request)
		if err != nil {
			return 0, err
		}
		if response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols {
			return response.StatusCode, nil
		}
	}
}

// ours are errors of a machine without descriptors, ports or memory.
var ours = []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL}

// blame finds out whose failure an error is: this machine's, when it has run
// out of something or is about to stop; else the other side's, of this kind
// unless it was just too slow. Too slow to connect is failing to connect, as
// in nginx's log.
func blame(ctx context.Context, kind fallback.Failure, err error) error {
	is := func(own error) bool { return errors.Is(err, own) }
	if slices.ContainsFunc(ours, is) || errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("not probed: %w", err)
	}
	if ctx.Err() != nil && kind != fallback.FailureConnect {
		return &failed{fallback.FailureTimeout, ctx.Err()}
	}
	return &failed{kind, err}
}
