package behavior

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// grpcBackend is an HTTP/2 server that answers as a server of gRPC does. It echoes
// each message as it comes.
type grpcBackend struct {
	address string
	mu      sync.Mutex
	got     []grpcRequest
	answer  http.HandlerFunc // nil: echo
}

// grpcRequest is what the backend got.
type grpcRequest struct {
	Authority, Path string
	Header          http.Header
	Messages        int    // echoed
	Body            string // if the backend does not echo
}

// startGRPC starts a backend; without a certificate it speaks HTTP/2 without TLS.
func startGRPC(t *testing.T, certificate *tls.Certificate) *grpcBackend {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b := &grpcBackend{address: listener.Addr().String()}
	server := &http.Server{Handler: b, Protocols: new(http.Protocols)}
	server.Protocols.SetUnencryptedHTTP2(certificate == nil)
	server.Protocols.SetHTTP2(certificate != nil)
	t.Cleanup(func() { _ = server.Close() })
	if certificate == nil {
		go func() { _ = server.Serve(listener) }()
		return b
	}
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*certificate}}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	return b
}

func (b *grpcBackend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	b.got = append(b.got, grpcRequest{r.Host, r.URL.RequestURI(), r.Header.Clone(), 0, ""})
	at, answer := len(b.got)-1, b.answer
	b.mu.Unlock()
	if answer != nil {
		body, _ := io.ReadAll(r.Body)
		b.mu.Lock()
		b.got[at].Body = string(body)
		b.mu.Unlock()
		answer(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/grpc")
	_ = http.NewResponseController(w).Flush()
	for {
		message, err := readMessage(r.Body)
		if err != nil {
			break
		}
		b.mu.Lock()
		b.got[at].Messages++
		b.mu.Unlock()
		_, _ = w.Write(frame(message))
		_ = http.NewResponseController(w).Flush()
	}
	w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
}

func (b *grpcBackend) requests() []grpcRequest {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]grpcRequest{}, b.got...)
}

// frame is a message as gRPC writes it.
func frame(message string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

func readMessage(from io.Reader) (string, error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(from, head); err != nil {
		return "", err
	}
	message := make([]byte, binary.BigEndian.Uint32(head[1:]))
	_, err := io.ReadFull(from, message)
	return string(message), err
}

// newHTTP2Client gives a client that speaks HTTP/2 without TLS.
func newHTTP2Client(t *testing.T, to netip.AddrPort) *http.Client {
	transport := &http.Transport{
		Protocols: new(http.Protocols),
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", to.String())
		},
	}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// grpcCall is an open stream of messages.
type grpcCall struct {
	response *http.Response
	send     *io.PipeWriter
}

// call begins a stream with a first message, and awaits its echo; "" is none.
func call(t *testing.T, client *http.Client, host, path, first string, header ...string) *grpcCall {
	receive, send := io.Pipe()
	if first != "" {
		go func() { _, _ = send.Write(frame(first)) }()
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+host+path, receive)
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("Te", "trailers")
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Add(name, value)
	}
	response, err := client.Do(request)
	require.NoError(t, err)
	t.Cleanup(func() { _ = response.Body.Close(); _ = send.Close() })
	c := &grpcCall{response, send}
	if first != "" && response.StatusCode == http.StatusOK {
		c.await(t, first)
	}
	return c
}

// say sends a message and awaits its echo.
func (c *grpcCall) say(t *testing.T, message string) {
	go func() { _, _ = c.send.Write(frame(message)) }()
	c.await(t, message)
}

func (c *grpcCall) await(t *testing.T, message string) {
	got, err := readMessage(c.response.Body)
	require.NoError(t, err)
	require.Equal(t, message, got)
}

// finish ends the client's side and gives the status of gRPC.
func (c *grpcCall) finish(t *testing.T) string {
	_ = c.send.Close()
	rest, err := io.ReadAll(c.response.Body)
	require.NoError(t, err)
	require.Empty(t, rest)
	if status := c.response.Header.Get("Grpc-Status"); status != "" {
		return status
	}
	return c.response.Trailer.Get("Grpc-Status")
}

const isGRPC = "    protocol: grpc\n"

func grpcService(name, oldBackend, newBackend, more string) string {
	return serviceText(name, oldBackend, newBackend, isGRPC+more)
}

// TestGRPC: streams of messages in both directions, to old and to new.
func TestGRPC(t *testing.T) {
	t.Parallel()
	old, new := startGRPC(t, nil), startGRPC(t, nil)
	rig := startRig(t, loadTable(t, "services:"+
		grpcService("zero", "http://"+old.address, "http://"+new.address, "")+
		grpcService("full", "http://"+old.address, "http://"+new.address, allNew)), nil)
	client := newHTTP2Client(t, rig.params.ListenGRPC)
	for host, side := range map[string]*grpcBackend{"zero.example.com": old, "full.example.com": new} {
		before := len(side.requests())
		c := call(t, client, host, "/pkg.Echo/Talk?x=%2F", "", "X-Meta-Bin: AAEC")
		require.Equal(t, 200, c.response.StatusCode)
		require.Equal(t, "HTTP/2.0", c.response.Proto)
		for i := range 5 {
			c.say(t, strings.Repeat("message", i*1000))
		}
		require.Equal(t, "0", c.finish(t))
		got := side.requests()[before:]
		require.Len(t, got, 1)
		require.Equal(t, "/pkg.Echo/Talk?x=%2F", got[0].Path)
		require.Equal(t, "AAEC", got[0].Header.Get("X-Meta-Bin"))
		require.Equal(t, "trailers", got[0].Header.Get("Te"))
		require.Equal(t, 5, got[0].Messages)
		if side == old {
			require.Equal(t, host, got[0].Authority)
		} else {
			require.Equal(t, newHost, got[0].Authority)
		}
	}
}

// TestGRPCRescue: where new cannot be connected to, old gets the whole call.
func TestGRPCRescue(t *testing.T) {
	t.Parallel()
	authority, err := testbed.NewAuthority()
	require.NoError(t, err)
	certificate, err := authority.Server("old.example.com")
	require.NoError(t, err)
	old, secureOld := startGRPC(t, nil), startGRPC(t, certificate)
	stranger, err := authority.Server("stranger.example.com")
	require.NoError(t, err)
	wrong := startGRPC(t, stranger)
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(caFile, authority.PEM(), 0o644))
	refused := freeAddress(t).String()
	rig := startRig(t, loadTable(t, "global: {debug_headers: true}\nservices:"+
		grpcService("plain", "http://"+old.address, "http://"+refused, allNew)+
		grpcService("tls", "http://"+old.address, "https://"+refused, allNew)+
		grpcService("both", "https://"+secureOld.address, "https://"+refused, allNew)+
		grpcService("own", "https://"+secureOld.address, "https://"+refused, allNew+"    tls: {ca_file: "+caFile+"}\n")+
		grpcService("unverified", "http://"+old.address, "https://"+refused, allNew+"    tls: {verify: false}\n")+
		grpcService("stranger", "http://"+old.address, "https://"+wrong.address, allNew+"    tls: {ca_file: "+caFile+"}\n")+
		grpcService("nameless", "http://"+old.address, "http://unknown.invalid:1", allNew)+
		grpcService("unsaved", "http://"+old.address, "http://"+refused, allNew+"    fallback: {enabled: false}\n")), nil)
	client := newHTTP2Client(t, rig.params.ListenGRPC)
	for _, name := range []string{"plain", "tls", "both", "own", "unverified", "stranger", "nameless"} {
		t.Run(name, func(t *testing.T) {
			side := map[bool]*grpcBackend{true: secureOld, false: old}[name == "both" || name == "own"]
			before, host := len(side.requests()), name+".example.com"
			c := call(t, client, host, "/pkg.Echo/Talk", "first")
			require.Equal(t, 200, c.response.StatusCode)
			for i := range 5 {
				c.say(t, fmt.Sprint("message ", i))
			}
			require.Equal(t, "0", c.finish(t))
			require.Equal(t, []string{"old"}, c.response.Header.Values("X-Migration-Side"))
			got := side.requests()[before:]
			require.Len(t, got, 1)
			require.Equal(t, host, got[0].Authority)
			require.Equal(t, 6, got[0].Messages)
		})
	}
	require.Empty(t, wrong.requests())
	require.Equal(t, 502, call(t, client, "unsaved.example.com", "/pkg.Echo/Talk", "first").response.StatusCode)
}

func TestGRPCOverTLS(t *testing.T) {
	t.Parallel()
	authority, err := testbed.NewAuthority()
	require.NoError(t, err)
	certificate, err := authority.Server(newHost)
	require.NoError(t, err)
	old, new := startGRPC(t, certificate), startGRPC(t, certificate)
	caFile, err := authority.WriteCA(t.TempDir())
	require.NoError(t, err)
	rig := startRig(t, loadTable(t, "services:"+
		grpcService("full", "https://"+old.address, "https://"+new.address, allNew+"    tls: {ca_file: "+caFile+"}\n")+
		grpcService("zero", "https://"+old.address, "https://"+new.address, "")), nil)
	client := newHTTP2Client(t, rig.params.ListenGRPC)
	for host, side := range map[string]*grpcBackend{"zero.example.com": old, "full.example.com": new} {
		c := call(t, client, host, "/pkg.Echo/Talk", "first")
		require.Equal(t, 200, c.response.StatusCode)
		c.say(t, "message")
		require.Equal(t, "0", c.finish(t))
		require.Len(t, side.requests(), 1)
	}
}
