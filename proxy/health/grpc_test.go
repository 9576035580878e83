package health

import (
	"crypto/tls"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/migration"
)

// startHealth serves the health service of gRPC at an address; nil for no TLS.
func startHealth(t *testing.T, certificate *tls.Certificate, answer http.HandlerFunc) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{Handler: answer, Protocols: new(http.Protocols)}
	t.Cleanup(func() { _ = server.Close() })
	if certificate == nil {
		server.Protocols.SetUnencryptedHTTP2(true)
		go func() { _ = server.Serve(listener) }()
		return listener.Addr().String()
	}
	server.Protocols.SetHTTP2(true)
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*certificate}}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	return listener.Addr().String()
}

func says(message []byte, status string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != migration.GRPCHealthPath || r.Method != http.MethodPost || r.Host != "api.new" || r.Header.Get("Content-Type") != "application/grpc" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		w.Header().Set("Content-Type", "application/grpc")
		if message == nil {
			w.Header().Set("Grpc-Status", status)
			return
		}
		_, _ = w.Write(message)
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", status)
	}
}

// TestHealthOfGRPC: the answers that the health service may give.
func TestHealthOfGRPC(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		says   string // "": healthy
	}{
		"serving":       {says([]byte{0, 0, 0, 0, 2, 8, 1}, "0"), ""},
		"not serving":   {says([]byte{0, 0, 0, 0, 2, 8, 2}, "0"), "503 is not 200 to 399"},
		"unknown":       {says([]byte{0, 0, 0, 0, 0}, "0"), "503 is not 200 to 399"},
		"unavailable":   {says(nil, "14"), "503 is not 200 to 399"},
		"unimplemented": {says(nil, "12"), "501 is not 200 to 399"},
		"no gRPC":       {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }, "500 is not 200 to 399"},
		"not found":     {http.NotFound, "404 is not 200 to 399"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := plain(migration.GRPCHealthPath)
			spec.GRPC = true
			err := probeOnce(t, spec, startHealth(t, nil, c.answer))
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.says)
			require.Equal(t, fallback.FailureStatus, failureOf(t, err))
		})
	}
}

func TestHealthOfGRPCOverTLS(t *testing.T) {
	t.Parallel()
	authority, err := testbed.NewAuthority()
	require.NoError(t, err)
	certificate, err := authority.Server("sni.new")
	require.NoError(t, err)
	caFile, err := authority.WriteCA(t.TempDir())
	require.NoError(t, err)
	spec := secure(migration.GRPCHealthPath, caFile)
	spec.GRPC = true
	require.NoError(t, probeOnce(t, spec, startHealth(t, certificate, says(serving, "0"))))
	require.ErrorContains(t, probeOnce(t, spec, startHealth(t, certificate, says(nil, "14"))), "503")
	backend := start(t, testbed.Options{})
	require.Error(t, probeOnce(t, spec, backend.Addr()), "no TLS")
	spec.Backend.Scheme = migration.HTTP
	require.Error(t, probeOnce(t, spec, backend.Addr()), "no HTTP/2")
}
