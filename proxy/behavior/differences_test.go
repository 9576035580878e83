package behavior

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// difference makes two messages equal in one property, after a check that they
// differ in it as expected.
type difference struct {
	why             string
	request, answer func(t *testing.T, direct, proxied *message)
}

// unavoidable lists every difference that a client or a backend may notice and
// that nginx without modules cannot avoid.
var unavoidable = map[string]difference{
	"HTTP/1.1 towards the backend": {
		why: "proxy_http_version is the same for all requests; with 1.0 there would be no keep-alive and no websocket",
		request: func(t *testing.T, direct, proxied *message) {
			require.True(t, strings.HasSuffix(direct.Start, " HTTP/1.0"))
			direct.Start = strings.TrimSuffix(direct.Start, "0") + "1"
		},
	},
	"no Alt-Svc": {
		why: "its port is not one of the hop that the client sees, and another host leads past the proxy (ADR 21)",
		answer: func(t *testing.T, direct, proxied *message) {
			require.Empty(t, proxied.value("Alt-Svc"))
			require.NotEmpty(t, direct.value("Alt-Svc"))
			direct.Header = direct.without("Alt-Svc")
		},
	},
	"the origin without a port": {
		why: "new_host has no port, and Origin and Referer follow Host",
		request: func(t *testing.T, direct, proxied *message) {
			for _, m := range []*message{direct, proxied} {
				for i, line := range m.Header {
					if strings.HasPrefix(line, "Origin") || strings.HasPrefix(line, "Referer") {
						m.Header[i] = strings.Replace(line, ":8443", "", 1)
					}
				}
			}
		},
	},
	"HTTP/1.1 towards the client": {
		why: "the version belongs to the hop between client and nginx (RFC 9110, 2.5)",
		answer: func(t *testing.T, direct, proxied *message) {
			require.True(t, strings.HasPrefix(direct.Start, "HTTP/1.0 "))
			direct.Start = "HTTP/1.1" + strings.TrimPrefix(direct.Start, "HTTP/1.0")
		},
	},
	"origin form": {
		why: "nginx parses absolute targets, as RFC 9112, 3.2.2 requires of a server",
		request: func(t *testing.T, direct, proxied *message) {
			require.Contains(t, direct.Start, " http://"+direct.value("Host")+"/")
			direct.Start = strings.Replace(direct.Start, "http://"+direct.value("Host"), "", 1)
		},
	},
	"chunked instead of close": {
		why: "nginx chunks a response without a length, so that it can keep the connection",
		answer: func(t *testing.T, direct, proxied *message) {
			require.Equal(t, [2]string{"close", "chunked"}, [2]string{direct.Framing, proxied.Framing})
			direct.Framing = "chunked"
		},
	},
	"close instead of chunked": {
		why: "a client of HTTP/1.0 cannot read chunks",
		answer: func(t *testing.T, direct, proxied *message) {
			require.Equal(t, [2]string{"chunked", "close"}, [2]string{direct.Framing, proxied.Framing})
			direct.Framing = "close"
		},
	},
	"no upgrade to HTTP or TLS": {
		why: "the client could send requests past the rules of the proxy; without the offer the answer is HTTP/1.1",
		request: func(t *testing.T, direct, proxied *message) {
			require.Empty(t, proxied.values("Upgrade"))
			require.Empty(t, proxied.values("Connection"))
			direct.Header = message{Header: direct.Header}.without("Upgrade")
		},
	},
	"length instead of chunked": {
		why: "nginx buffers a request that it may have to send to old too (ADR 7)",
		request: func(t *testing.T, direct, proxied *message) {
			require.Equal(t, "chunked", direct.Framing)
			require.Contains(t, []string{"chunked", "length"}, proxied.Framing)
			direct.Framing = proxied.Framing
		},
	},
	"no request trailers": {
		why: "nginx reads and drops them",
		request: func(t *testing.T, direct, proxied *message) {
			require.Empty(t, proxied.Trailer)
			direct.Trailer = nil
		},
	},
	"trailers from nginx 1.27.2 on": {
		why: "older versions read and drop them",
		answer: func(t *testing.T, direct, proxied *message) {
			if nginxVersion(t).Before(nginxgen.Version{Major: 1, Minor: 27, Patch: 2}) {
				require.Empty(t, proxied.Trailer)
				direct.Trailer = nil
			}
		},
	},
}
