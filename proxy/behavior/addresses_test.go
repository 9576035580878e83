package behavior

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// TestAddressesShareEvenly: more tries than addresses do not give the first
// addresses more of the traffic.
func TestAddressesShareEvenly(t *testing.T) {
	t.Parallel()
	r := startAddresses(t, freeAddress(t), freeAddress(t))
	for _, address := range r.endpoints {
		serveAddress(t, address)
	}
	got := map[string]int{}
	for range 60 {
		answer, _ := dial(t, r.params.Listen.String()).send(t, "GET / HTTP/1.1\r\nHost: a.example.com\r\nConnection: close\r\n\r\n")
		got[answer.Body]++
	}
	require.Equal(t, map[string]int{r.endpoints[0].String(): 30, r.endpoints[1].String(): 30}, got)
}

// TestRecoveryOfAllAddresses: when all addresses refused connections for a
// moment, the next request reaches them; nginx marks none as unavailable.
func TestRecoveryOfAllAddresses(t *testing.T) {
	t.Parallel()
	r := startAddresses(t, freeAddress(t), freeAddress(t))
	ask := func() string {
		answer, _ := dial(t, r.params.Listen.String()).send(t, "GET / HTTP/1.1\r\nHost: a.example.com\r\nConnection: close\r\n\r\n")
		return answer.Start
	}
	for range 4 {
		require.Equal(t, "HTTP/1.1 502 Bad Gateway", ask())
	}
	for _, address := range r.endpoints {
		serveAddress(t, address)
	}
	require.Equal(t, "HTTP/1.1 200 OK", ask())
}

type addressesRig struct {
	*rig
	endpoints []netip.AddrPort
}

// startAddresses serves a service whose old has these addresses, on which no
// server listens yet.
func startAddresses(t *testing.T, addresses ...netip.AddrPort) addressesRig {
	table := loadTable(t, "services:"+serviceText("a", "http://old.example.net", "http://new.example.net", ""))
	endpoints := nginxgen.Endpoints{table.Service("a").OldBackend: addresses}
	return addressesRig{startRigAt(t, table, endpoints, map[migration.Name]bool{}), addresses}
}

// serveAddress starts a server that answers with its address.
func serveAddress(t *testing.T, address netip.AddrPort) {
	listener, err := net.Listen("tcp", address.String())
	require.NoError(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, address)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
}
