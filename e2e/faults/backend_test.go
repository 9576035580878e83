package faults

import (
	"crypto/tls"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// backend starts a backend that ends with the test.
func backend(t *testing.T, options testbed.Options) *testbed.Backend {
	t.Helper()
	b, err := testbed.Start(options)
	require.NoError(t, err)
	t.Cleanup(b.Kill)
	return b
}

// secured is a backend with https, and the certificate that it uses after its next
// restart.
type secured struct {
	*testbed.Backend
	certificate *tls.Certificate
}

func (w *proxyRun) secured(name string) secured {
	w.t.Helper()
	certificate, err := w.authority.Server(newHost)
	require.NoError(w.t, err)
	return secured{backend(w.t, testbed.Options{Name: name, Certificate: certificate}), certificate}
}

// show restarts the backend with another certificate.
func (s secured) show(t *testing.T, certificate *tls.Certificate) {
	t.Helper()
	s.Kill()
	*s.certificate = *certificate
	require.NoError(t, s.Revive())
}

// stall sends half an answer and then nothing more.
func stall(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", "1000")
	_, _ = w.Write([]byte("half of it"))
	_ = http.NewResponseController(w).Flush()
	select {
	case <-r.Context().Done():
	case <-time.After(5 * time.Second):
	}
	panic(http.ErrAbortHandler)
}

// endEarly sends one chunk of an answer and no end.
func endEarly(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write([]byte("half of it"))
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}
