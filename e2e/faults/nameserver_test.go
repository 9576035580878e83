package faults

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// nameServer is a small DNS server whose answers change: addresses, NXDOMAIN for a
// name without addresses, no answer for an unreachable one.
type nameServer struct {
	conn  net.PacketConn
	mu    sync.Mutex
	gone  map[string]bool
	names map[string][]netip.Addr
}

func newNameServer(t *testing.T) *nameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	s := &nameServer{conn: conn, gone: map[string]bool{}, names: map[string][]netip.Addr{}}
	done := make(chan struct{})
	go func() { defer close(done); s.serve() }()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return s
}

func (s *nameServer) set(name string, addresses ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names[name] = nil
	for _, address := range addresses {
		s.names[name] = append(s.names[name], netip.MustParseAddr(address))
	}
}

// setUnreachable makes the server ignore queries for a name.
func (s *nameServer) setUnreachable(name string, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone[name] = on
}

func (s *nameServer) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "udp4", s.conn.LocalAddr().String())
	}}
}

func (s *nameServer) serve() {
	query := make([]byte, 512)
	for {
		n, from, err := s.conn.ReadFrom(query)
		if err != nil {
			return
		}
		if answer := s.respond(query[:n]); answer != nil {
			_, _ = s.conn.WriteTo(answer, from)
		}
	}
}

// respond answers a query with one question (RFC 1035, section 4).
func (s *nameServer) respond(query []byte) []byte {
	const header, typeA = 12, 1
	var labels []string
	at := header
	for length := int(query[at]); length > 0; length = int(query[at]) {
		labels = append(labels, string(query[at+1:at+1+length]))
		at += 1 + length
	}
	name := strings.Join(labels, ".")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone[name] {
		return nil
	}
	answer := append([]byte(nil), query[:at+5]...)
	answer[2], answer[3] = 0x84, 0x80 // an authoritative answer, recursion available
	copy(answer[4:header], []byte{0, 1, 0, 0, 0, 0, 0, 0})
	addresses := s.names[name]
	if len(addresses) == 0 {
		answer[3] |= 3 // NXDOMAIN
	}
	if binary.BigEndian.Uint16(query[at+1:]) != typeA {
		return answer
	}
	answer[7] = byte(len(addresses))
	for _, address := range addresses {
		answer = append(answer, 0xc0, header, 0, typeA, 0, 1, 0, 0, 0, 1, 0, 4)
		answer = append(answer, address.AsSlice()...)
	}
	return answer
}
