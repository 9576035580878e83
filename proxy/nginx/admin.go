package nginx

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// inARow is how often the new digest must come before the old workers are
// believed to be out of it: each answer is a new connection, which any worker
// that still listens may take.
const inARow = 5

// Digest asks nginx which config it serves.
func (n *Nginx) Digest(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: n.dialAdmin}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://admin/digest", nil)
	if err != nil {
		return "", err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "", fmt.Errorf("asking nginx for its digest: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1024))
	if err != nil || response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("asking nginx for its digest: status %d: %w", response.StatusCode, err)
	}
	return strings.TrimSpace(string(text)), nil
}

func (n *Nginx) dialAdmin(ctx context.Context, _, _ string) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, "unix", n.path("admin.sock"))
}

// AwaitDigest waits until nginx serves the config with this digest, and no
// other. Its error tells what nginx serves instead when ctx ends.
func (n *Nginx) AwaitDigest(ctx context.Context, want string) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	last := ""
	for seen := 0; ; {
		got, err := n.Digest(ctx)
		if seen++; got != want {
			seen = 0
		}
		if err == nil {
			last = got
		}
		if seen == inARow {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return notServed(want, last, err)
		}
	}
}

func notServed(want, got string, err error) error {
	if got != "" {
		return fmt.Errorf("nginx still serves config %s instead of %s", got, want)
	}
	return fmt.Errorf("nginx does not serve config %s: %w", want, err)
}
