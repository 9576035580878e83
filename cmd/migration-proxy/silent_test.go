package main

import (
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSilentReplica: the API server gets no answer from the status port of a replica, as
// with a NetworkPolicy that does not let it in. status and update name the chart value.
func TestSilentReplica(t *testing.T) {
	t.Parallel()
	s := testSite(t)
	silent, err := net.Listen("tcp", netip.AddrPortFrom(s.address, 0).String()) // takes connections and never answers
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	port := silent.Addr().(*net.TCPAddr).Port
	require.NoError(t, s.publish(t.Context(), "silent", int32(port)))
	require.NoError(t, s.write(t.Context(), "services:\n"+
		"- {name: shop, old_host: shop.example.com, old_backend: 'a:80', new_host: b, new_backend: 'b:80', migration: {percentage: 0}}\n"))

	output, err := s.try("status")
	require.NoError(t, err, output)
	require.Contains(t, output, "chart value networkPolicy.statusFrom")
	output, err = s.try("update", "shop", "5", "--timeout", "5s")
	require.Error(t, err, output)
	require.Contains(t, output, "chart value networkPolicy.statusFrom")
}
