package listen

import (
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAddress(t *testing.T) {
	t.Parallel()
	for text, problem := range map[string]string{
		":8000":            "",
		"127.0.0.1:8000":   "",
		"[::1]:8000":       "",
		"8000":             "write :PORT or ADDRESS:PORT",
		":0":               `port "0" is not a number from 1 to 65535`,
		":65536":           `port "65536" is not a number from 1 to 65535`,
		":http":            `port "http" is not a number from 1 to 65535`,
		"example.com:8000": `"example.com" is not an IP address`,
	} {
		var address Address
		err := address.Set(text)
		if problem != "" {
			require.EqualError(t, err, problem, text)
			continue
		}
		require.NoError(t, err, text)
		require.Equal(t, text, address.String())
		require.Equal(t, text == ":8000", address.All)
	}
}

func TestExplainPermission(t *testing.T) {
	t.Parallel()
	err := explain(&net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EACCES)}, "listen")
	require.EqualError(t, err, "listen: bind: permission denied; low ports need CAP_NET_BIND_SERVICE: choose one from 1024 up with --listen or $MIGRATION_PROXY_LISTEN")
}

func TestCheckAPortInUse(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	var address Address
	require.NoError(t, address.Set(listener.Addr().String()))
	require.ErrorContains(t, Check(address, "http"), "address already in use; end the process that has it, or choose another with --http or $MIGRATION_PROXY_HTTP")
	require.NoError(t, listener.Close())
	require.NoError(t, Check(address, "http"))
}
