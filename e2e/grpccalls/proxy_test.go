package grpccalls

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/migration-proxy/migration-proxy/e2e/proxyprocess"
)

// program is the path of the binary under test.
var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "mp-grpc-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if program, err = proxyprocess.Build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// patience is the longest time that a test waits for anything.
const patience = 20 * time.Second

// proxy is a running proxy.
type proxy struct{ address, api string }

// startProxy runs the program with services, each as the lines of YAML after its name.
func startProxy(t *testing.T, services map[string]string) *proxy {
	text := "services:\n"
	for name, more := range services {
		text += fmt.Sprintf("  - name: %[1]s\n    old_host: %[1]s.example.com\n    new_host: app.new.example.com\n    protocol: grpc\n%[2]s\n", name, more)
	}
	started := proxyprocess.Start(t, program, text)
	return &proxy{address: started.GRPC, api: started.API}
}

func (p *proxy) get(path string) string {
	response, err := http.Get("http://" + p.api + path)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	body, _ := io.ReadAll(response.Body)
	return fmt.Sprintf("%d %s", response.StatusCode, body)
}

// client connects to the proxy as a client of the service.
func (p *proxy) client(t *testing.T, service string) *grpc.ClientConn {
	conn, err := grpc.NewClient("passthrough:///"+service+".example.com",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", p.address)
		}))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func backends(old, new *side) string {
	return fmt.Sprintf("    old_backend: http://%s\n    new_backend: http://%s\n", old.address, new.address)
}

const (
	allNew = "    migration: {enabled: true, percentage: 100}\n"
	noTrip = "    fallback: {max_failures: 100000}\n"
)
