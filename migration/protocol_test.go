package migration

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStatusOfGRPC(t *testing.T) {
	t.Parallel()
	for code, status := range map[int]int{0: 200, 1: 499, 2: 500, 4: 504, 8: 429, 12: 501, 13: 500, 14: 503, 16: 401, 17: 500, -1: 500} {
		require.Equal(t, status, StatusOfGRPC(code), code)
	}
	require.Equal(t, []int{14}, GRPCCodes(503))
	require.Equal(t, []int{4}, GRPCCodes(504))
	require.Equal(t, []int{2, 13, 15}, GRPCCodes(500))
	require.Empty(t, GRPCCodes(502))
}

func TestServiceOfGRPC(t *testing.T) {
	t.Parallel()
	require.True(t, (&Service{Protocol: ProtocolGRPC}).GRPC())
	require.False(t, (&Service{Protocol: ProtocolHTTP}).GRPC())
}
