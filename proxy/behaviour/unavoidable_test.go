package behaviour

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// difference makes both messages alike in one thing, after it has checked that
// they differ in that thing and no other way.
type difference struct {
	why             string
	request, answer func(t *testing.T, direct, proxied *message)
}

// unavoidable is the whole list of what a client or a backend may notice and
// PRODUCT does not name: stock nginx does not let us do it otherwise.
var unavoidable = map[string]difference{
	"HTTP/1.1 towards the backend": {
		why: "proxy_http_version is one for all; with 1.0 there would be no keep-alive and no websocket",
		request: func(t *testing.T, direct, proxied *message) {
			require.True(t, strings.HasSuffix(direct.Start, " HTTP/1.0"))
			direct.Start = strings.TrimSuffix(direct.Start, "0") + "1"
		},
	},
	"HTTP/1.1 towards the client": {
		why: "nginx speaks for itself: the version is that of the hop (RFC 9110, 2.5)",
		answer: func(t *testing.T, direct, proxied *message) {
			require.True(t, strings.HasPrefix(direct.Start, "HTTP/1.0 "))
			direct.Start = "HTTP/1.1" + strings.TrimPrefix(direct.Start, "HTTP/1.0")
		},
	},
	"origin form": {
		why: "nginx takes absolute targets apart, as RFC 9112, 3.2.2 asks of a server",
		request: func(t *testing.T, direct, proxied *message) {
			require.Contains(t, direct.Start, " http://"+direct.value("Host")+"/")
			direct.Start = strings.Replace(direct.Start, "http://"+direct.value("Host"), "", 1)
		},
	},
	"chunked instead of close": {
		why: "an answer without a length is chunked, so that the client's connection stays",
		answer: func(t *testing.T, direct, proxied *message) {
			require.Equal(t, [2]string{"close", "chunked"}, [2]string{direct.Framing, proxied.Framing})
			direct.Framing = "chunked"
		},
	},
	"close instead of chunked": {
		why: "a client of HTTP/1.0 knows no chunks",
		answer: func(t *testing.T, direct, proxied *message) {
			require.Equal(t, [2]string{"chunked", "close"}, [2]string{direct.Framing, proxied.Framing})
			direct.Framing = "close"
		},
	},
	"length instead of chunked": {
		why: "a request that may have to be sent to old too is kept until it is whole; see PRODUCT, section 5, net 1",
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
		why: "older ones read and drop them",
		answer: func(t *testing.T, direct, proxied *message) {
			if nginxVersion(t).Before(nginxgen.Version{Major: 1, Minor: 27, Patch: 2}) {
				require.Empty(t, proxied.Trailer)
				direct.Trailer = nil
			}
		},
	},
}
