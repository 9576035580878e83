package grpccalls

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/migration-proxy/migration-proxy/e2e/grpcside"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// TestCalls: calls of all kinds, to old, to new, and to both with TLS.
func TestCalls(t *testing.T) {
	t.Parallel()
	authority, err := testbed.NewAuthority()
	require.NoError(t, err)
	certificate, err := authority.Server("app.new.example.com")
	require.NoError(t, err)
	caFile, err := authority.WriteCA(t.TempDir())
	require.NoError(t, err)
	old, new := startSide(t, "old", nil), startSide(t, "new", nil)
	secure := credentials.NewServerTLSFromCert(certificate)
	secureOld, secureNew := startSide(t, "old", secure), startSide(t, "new", secure)
	withTLS := fmt.Sprintf("    old_backend: https://%s\n    new_backend: https://%s\n    tls: {ca_file: %s}\n", secureOld.address, secureNew.address, caFile)
	p := startProxy(t, map[string]string{
		"zero": backends(old, new), "full": backends(old, new) + allNew,
		"zero-tls": withTLS, "full-tls": withTLS + allNew,
	})
	for _, service := range []string{"zero", "full", "zero-tls", "full-tls"} {
		t.Run(service, func(t *testing.T) {
			t.Parallel()
			c := caller{p.client(t, service), "old", service + ".example.com"}
			if strings.HasPrefix(service, "full") {
				c.side, c.authority = "new", "app.new.example.com"
			}
			for name, test := range map[string]func(*testing.T, caller){
				"unary": testUnary, "bidi": testBidi, "stream": testServerStream, "statuses": testStatuses,
				"big": testBig, "cancel": testCancel, "deadline": testDeadline,
			} {
				t.Run(name, func(t *testing.T) { test(t, c) })
			}
		})
	}
}

// caller is a client, and what the side that answers it says.
type caller struct {
	conn            *grpc.ClientConn
	side, authority string
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func testUnary(t *testing.T, c caller) {
	ctx := metadata.AppendToOutgoingContext(within(t), "meta-bin", "\x00\xff bytes")
	a := grpcside.Unary(ctx, c.conn, grpcside.Echo, "message")
	require.NoError(t, a.Err)
	require.Equal(t, "message", a.Message)
	require.Equal(t, c.side, a.Side())
	require.Equal(t, []string{c.authority}, a.Header.Get("authority"))
	require.Equal(t, []string{"\x00\xff bytes"}, a.Trailer.Get("echo-bin"))
}

func testBidi(t *testing.T, c caller) {
	stream, err := c.conn.NewStream(within(t), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, grpcside.Echo, grpc.ForceCodec(grpcside.Codec{}))
	require.NoError(t, err)
	for i := range 50 {
		sent, got := []byte(fmt.Sprint("message ", i)), []byte{}
		require.NoError(t, stream.SendMsg(&sent))
		require.NoError(t, stream.RecvMsg(&got))
		require.Equal(t, sent, got)
	}
	require.NoError(t, stream.CloseSend())
	require.ErrorIs(t, stream.RecvMsg(&[]byte{}), io.EOF)
}

func testServerStream(t *testing.T, c caller) {
	watch, err := grpc_health_v1.NewHealthClient(c.conn).Watch(within(t), &grpc_health_v1.HealthCheckRequest{})
	require.NoError(t, err)
	got, err := watch.Recv()
	require.NoError(t, err)
	require.Equal(t, grpc_health_v1.HealthCheckResponse_SERVING, got.GetStatus())
}

// testStatuses: every status but those that trip passes with its message.
func testStatuses(t *testing.T, c caller) {
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		if code == codes.Unavailable || code == codes.DeadlineExceeded {
			continue
		}
		a := grpcside.Unary(within(t), c.conn, grpcside.StatusMethod(code), "x")
		require.Equal(t, code, status.Code(a.Err))
		require.Equal(t, grpcside.Message, status.Convert(a.Err).Message())
	}
}

func testBig(t *testing.T, c caller) {
	big := strings.Repeat("0123456789abcdef", 200_000) // 3.2 MB; a client takes 4 MB
	a := grpcside.Unary(within(t), c.conn, grpcside.Echo, big)
	require.NoError(t, a.Err)
	require.Len(t, a.Message, len(big))
	a = grpcside.Unary(within(t), c.conn, grpcside.Echo, big, grpc.UseCompressor("gzip"))
	require.NoError(t, a.Err)
	require.Equal(t, big, a.Message)
}

func testCancel(t *testing.T, c caller) {
	ctx, cancel := context.WithCancel(within(t))
	time.AfterFunc(50*time.Millisecond, cancel)
	require.Equal(t, codes.Canceled, status.Code(grpcside.Unary(ctx, c.conn, grpcside.Hang, "x").Err))
}

func testDeadline(t *testing.T, c caller) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.Equal(t, codes.DeadlineExceeded, status.Code(grpcside.Unary(ctx, c.conn, grpcside.Hang, "x").Err))
}

// TestNewRefuses: old gets the whole call, and it counts as new's failure.
func TestNewRefuses(t *testing.T) {
	t.Parallel()
	old, new := startSide(t, "old", nil), startSide(t, "new", nil)
	new.server.Stop()
	p := startProxy(t, map[string]string{"app": backends(old, new) + allNew + noTrip})
	c := caller{p.client(t, "app"), "old", "app.example.com"}
	testUnary(t, c)
	testBidi(t, c)
	testBig(t, c)
	require.Eventually(t, func() bool {
		return strings.Contains(p.get("/metrics"), `migration_proxy_rescued_total{reason="connect",service="app"} 4`)
	}, patience, 50*time.Millisecond, "%s", p.get("/metrics"))
}

// TestNewDies: a call that new has seen is not sent again.
func TestNewDies(t *testing.T) {
	t.Parallel()
	old, new := startSide(t, "old", nil), startSide(t, "new", nil)
	p := startProxy(t, map[string]string{"app": backends(old, new) + allNew})
	a := grpcside.Unary(within(t), p.client(t, "app"), grpcside.Die, "x")
	require.Equal(t, codes.Unavailable, status.Code(a.Err), "%v", a.Err)
	require.Equal(t, 1, new.count(grpcside.Die))
	require.Zero(t, old.count(grpcside.Die))
}

// TestStatusesOfNewTrip: UNAVAILABLE and DEADLINE_EXCEEDED of new count as failures,
// and INTERNAL if on_status has 500.
func TestStatusesOfNewTrip(t *testing.T) {
	t.Parallel()
	for code, more := range map[codes.Code]string{
		codes.Unavailable: "", codes.DeadlineExceeded: "", codes.Internal: ", on_status: [500]",
	} {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			old, new := startSide(t, "old", nil), startSide(t, "new", nil)
			p := startProxy(t, map[string]string{"app": backends(old, new) + allNew + "    fallback: {max_failures: 3" + more + "}\n"})
			conn := p.client(t, "app")
			require.Equal(t, "new", grpcside.Unary(within(t), conn, grpcside.Echo, "x").Side())
			for range 3 {
				require.Equal(t, code, status.Code(grpcside.Unary(within(t), conn, grpcside.StatusMethod(code), "x").Err))
			}
			require.Eventually(t, func() bool { return grpcside.Unary(within(t), conn, grpcside.Echo, "x").Side() == "old" }, patience, 20*time.Millisecond)
		})
	}
}
