package grpccalls

import (
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/migration-proxy/migration-proxy/e2e/grpcside"
)

// side is a running server of gRPC.
type side struct {
	address string
	server  *grpc.Server

	mu    sync.Mutex
	calls map[string]int
}

func startSide(t *testing.T, name string, secure credentials.TransportCredentials) *side {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &side{address: listener.Addr().String(), calls: map[string]int{}}
	if secure == nil {
		secure = insecure.NewCredentials()
	}
	s.server = (&grpcside.Side{Name: name, Seen: s.see, Die: func() { s.server.Stop() }}).Serve(grpc.Creds(secure))
	go func() { _ = s.server.Serve(listener) }()
	t.Cleanup(s.server.Stop)
	return s
}

func (s *side) see(method string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[method]++
}

func (s *side) count(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[method]
}
