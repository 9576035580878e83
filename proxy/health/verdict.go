package health

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// verdict is what a server says about our client certificate. With TLS 1.3 the
// handshake is over for the client before the server has seen the certificate: an
// alert comes later, or a session ticket if all is well.
type verdict struct {
	asked  atomic.Bool // the server asked for a certificate
	stream atomic.Pointer[tls.Conn]
	ticket atomic.Bool
}

// newVerdict makes the config tell. It also sends the certificate, if there is one,
// whatever authorities the server names: so does nginx, and Go by itself does not.
func newVerdict(config *tls.Config) *verdict {
	v := &verdict{}
	certificate := &tls.Certificate{}
	if len(config.Certificates) > 0 {
		certificate = &config.Certificates[0]
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		v.asked.Store(true)
		return certificate, nil
	}
	config.ClientSessionCache = v
	return v
}

// maxVerdict is how long a server that sends no session tickets is waited for. An
// alert takes as long as a packet to the server and back.
const maxVerdict = time.Second

// await waits for the verdict of a server that asked for a certificate.
func (v *verdict) await(ctx context.Context, stream *tls.Conn) error {
	if !v.asked.Load() || stream.ConnectionState().Version < tls.VersionTLS13 {
		return nil
	}
	deadline := time.Now().Add(maxVerdict)
	if end, ok := ctx.Deadline(); ok {
		deadline = time.Now().Add(min(maxVerdict, time.Until(end)/2))
	}
	if err := stream.SetReadDeadline(deadline); err != nil {
		return err
	}
	v.stream.Store(stream)
	if v.ticket.Load() {
		return nil
	}
	_, err := stream.Read(make([]byte, 1))
	if v.ticket.Load() || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return fmt.Errorf("after the handshake, for want of a client certificate that it accepts: %w", err)
}

// Get implements tls.ClientSessionCache: each probe makes a whole handshake.
func (v *verdict) Get(string) (*tls.ClientSessionState, bool) { return nil, false }

// Put implements tls.ClientSessionCache: a ticket has come, so await may end.
func (v *verdict) Put(string, *tls.ClientSessionState) {
	v.ticket.Store(true)
	if stream := v.stream.Load(); stream != nil {
		_ = stream.SetReadDeadline(time.Unix(1, 0))
	}
}
