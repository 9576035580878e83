package behavior

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestRedirectBack: nginx reports at once a redirect of new that leads to the address
// that was asked for, and no other.
func TestRedirectBack(t *testing.T) {
	t.Parallel()
	backend := startWire(t)
	r := startRigBehind(t, loadTable(t, "services:"+namedService("shop", "shop.example.com", "shop.new.example.com", backend.address, "")))
	reports, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(r.params.RuntimeDir, "failures.sock"), Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = reports.Close() })
	require.NoError(t, os.Chmod(filepath.Join(r.params.RuntimeDir, "failures.sock"), 0o666))
	const https = "X-Forwarded-Proto: https\r\n"
	for name, c := range map[string]struct {
		request, header, location string
		back                      bool
	}{
		"forces https":                 {"GET /cart?a=b", https, "https://shop.new.example.com/cart?a=b", true},
		"by its path":                  {"HEAD /cart", https, "/cart", true},
		"with a fragment":              {"GET /cart", https, "https://shop.new.example.com:443/cart#top", true},
		"client's own name":            {"GET /cart", https, "https://SHOP.example.com/cart", true},
		"from http to https":           {"GET /cart", "", "https://shop.new.example.com/cart", false},
		"with a cookie":                {"GET /cart", https, "https://shop.new.example.com/cart\r\nSet-Cookie: seen=1", false},
		"after a form":                 {"POST /cart", https, "https://shop.new.example.com/cart", false},
		"to lower case":                {"GET /Cart", https, "https://shop.new.example.com/cart", false},
		"to another query":             {"GET /cart", https, "https://shop.new.example.com/cart?x", false},
		"to the same path of somebody": {"GET /cart", https, "https://other.example.com/cart", false},
	} {
		answer := "HTTP/1.1 308 Permanent Redirect\r\nLocation: " + c.location + "\r\nContent-Length: 0\r\n\r\n"
		askFor(t, r.params.Listen.String(), backend, "back "+name, c.request+" HTTP/1.1\r\nHost: shop.example.com\r\nContent-Length: 0\r\n"+c.header, answer)
		// The next report is of this request, or of the probe after it.
		probe := "HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n"
		askFor(t, r.params.Listen.String(), backend, "probe "+name, "POST /probe HTTP/1.1\r\nHost: shop.example.com\r\nContent-Length: 0\r\n", probe)
		var got []string
		for len(got) == 0 || !isProbe(got[len(got)-1]) {
			require.NoError(t, reports.SetReadDeadline(time.Now().Add(patience)))
			line := make([]byte, 4096)
			n, err := reports.Read(line)
			require.NoError(t, err)
			got = append(got, string(line[:n]))
		}
		require.Equal(t, c.back, len(got) == 2, "%s: %v", name, got)
	}
}

func isProbe(line string) bool { return strings.Contains(line, " /probe ") }
