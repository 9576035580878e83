package resolve

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/migration"
)

// aliasOf begins names that are another name for the rest, as the cluster's DNS has
// them for Services of type ExternalName.
const aliasOf = "alias-of."

// nameServer is a little DNS server: one A record for known names, a CNAME before it
// for aliases, NXDOMAIN for "unknown.", silence for "silent.".
func nameServer(t *testing.T, known map[string]netip.Addr) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		query := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(query)
			if err != nil {
				return
			}
			if answer := respond(query[:n], known); answer != nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	// Go's resolver goes on waiting for a lookup that was given up, for five
	// seconds a try, so the test takes its sockets away.
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		_ = conn.Close()
		<-done
	})
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		var dialer net.Dialer
		query, err := dialer.DialContext(ctx, "udp", conn.LocalAddr().String())
		context.AfterFunc(ctx, func() {
			if err == nil {
				_ = query.Close()
			}
		})
		return query, err
	}}
}

// respond answers a query of one question (RFC 1035, section 4).
func respond(query []byte, known map[string]netip.Addr) []byte {
	const header, typeA, typeCNAME = 12, 1, 5
	var labels []string
	at := header
	for length := int(query[at]); length > 0; length = int(query[at]) {
		labels = append(labels, string(query[at+1:at+1+length]))
		at += 1 + length
	}
	host, kind := strings.Join(labels, "."), binary.BigEndian.Uint16(query[at+1:])
	target, alias := strings.CutPrefix(host, aliasOf)
	addr, found := known[target]
	if strings.HasPrefix(host, "silent") {
		return nil
	}
	answer := append([]byte(nil), query[:at+5]...)
	answer[2], answer[3] = 0x84, 0x80 // an authoritative answer, recursion available
	copy(answer[4:header], []byte{0, 1, 0, 0, 0, 0, 0, 0})
	switch {
	case !found:
		answer[3] |= 3 // NXDOMAIN
	case kind == typeA && alias:
		answer[7] = 2
		rest := byte(header + len(aliasOf)) // where the name without the alias begins
		answer = append(answer, 0xc0, header, 0, typeCNAME, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, rest)
		answer = append(answer, 0xc0, rest, 0, typeA, 0, 1, 0, 0, 0, 9, 0, 4)
		answer = append(answer, addr.AsSlice()...)
	case kind == typeA:
		answer[7] = 1
		answer = append(answer, 0xc0, header, 0, typeA, 0, 1, 0, 0, 0, 9, 0, 4)
		answer = append(answer, addr.AsSlice()...)
	}
	return answer
}

func TestAgainstARealNameServer(t *testing.T) {
	t.Parallel()
	server := nameServer(t, map[string]netip.Addr{"api.example.test": netip.MustParseAddr("192.0.2.1")})
	resolver := New(Options{Lookup: server, Timeout: 300 * time.Millisecond})
	external := backend(t, aliasOf+"api.example.test:8080")
	known, unknown, silent := backend(t, "api.example.test:443"), backend(t, "unknown.example.test:80"), backend(t, "silent.example.test:80")
	got := resolver.Resolve(t.Context(), []migration.Backend{known, external, unknown, silent})
	require.Equal(t, "[192.0.2.1:443]", show(got.Endpoints[known]))
	require.Equal(t, "[192.0.2.1:8080]", show(got.Endpoints[external]))
	require.ErrorContains(t, got.Errors[unknown], "no such host")
	require.ErrorContains(t, got.Errors[silent], "timeout")
	require.NotContains(t, got.Endpoints, unknown)
}
