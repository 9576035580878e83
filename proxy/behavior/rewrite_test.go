package behavior

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// startRewriter starts an nginx with a location as ingress-nginx writes it for a path
// and a rewrite-target; "" is use-regex alone.
func startRewriter(t *testing.T, path, target, backend string) string {
	params := newParams(t)
	rewrite := ""
	if target != "" {
		rewrite = fmt.Sprintf("rewrite \"(?i)%s\" %s break;", path, target)
	}
	startNginx(t, params.RuntimeDir, fmt.Sprintf(`daemon off; pid %[1]s/nginx.pid; error_log %[1]s/error.log; events {}
http { access_log off; client_body_temp_path %[1]s/temp; proxy_temp_path %[1]s/temp; fastcgi_temp_path %[1]s/temp; uwsgi_temp_path %[1]s/temp; scgi_temp_path %[1]s/temp;
server { listen %[2]s; location ~* "^%[3]s" { %[4]s proxy_pass http://%[5]s; proxy_http_version 1.1;
proxy_set_header Host $http_host; proxy_set_header Connection ""; } } }`, params.RuntimeDir, params.Listen, path, rewrite, backend))
	awaitListener(t, params.Listen.String())
	return params.Listen.String()
}

// TestRewrittenPaths: old gets the same request line with the proxy and without it when
// the controller rewrites the path, and new gets it too.
func TestRewrittenPaths(t *testing.T) {
	t.Parallel()
	old, new := startWire(t), startWire(t)
	table := func(prefix string, share int) string {
		more := fmt.Sprintf("    path_prefix: %s\n    migration: {enabled: true, percentage: %d}\n", prefix, share)
		return startRigBehind(t, loadTable(t, "services:"+serviceText("app", "http://"+old.address, "http://"+new.address, more))).params.Listen.String()
	}
	for name, c := range map[string]struct {
		path, target, prefix string
		targets              []string
	}{
		"to the root":   {"/shop(/|$)(.*)", "/$2", "/", []string{"/shop", "/shop/", "/shop/a%20b?x=1", "/SHOP/ü", "/shop//a/../b", "/shop/a%2Fb"}},
		"below a path":  {"/shop(/|$)(.*)", "/v1/$2", "/v1", []string{"/shop", "/Shop/x", "/shop/%25?y", "/shop/a/./b"}},
		"to one path":   {"/shop", "/v1?from=$uri", "/v1", []string{"/shopping", "/shop?x=2"}},
		"only a regex":  {"/api/v[0-9]+/.*", "", "/api", []string{"/api/v1/x", "/API/v22/X?q", "/api/v1/%e4%bd%a0"}},
		"the same path": {"/one", "", "/one", []string{"/one", "/oneXYZ", "/ONE/x"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ways := map[string]string{"direct": old.address, "at 0 %": table(c.prefix, 0), "at 100 %": table(c.prefix, 100)}
			for way, to := range ways {
				ways[way] = startRewriter(t, c.path, c.target, to)
			}
			for i, target := range c.targets {
				lines := map[string]string{}
				for way, to := range ways {
					backend, id := old, fmt.Sprintf("%s %d %s", name, i, way)
					if way == "at 100 %" {
						backend = new
					}
					backend.answer(id, plainAnswer)
					answer, _ := dial(t, to).send(t, "GET "+target+" HTTP/1.1\r\nHost: app.example.com\r\nX-Case: "+id+"\r\n\r\n")
					require.Equal(t, "HTTP/1.1 200 OK", answer.Start, "%s %s", way, target)
					require.Len(t, backend.received(id), 1)
					lines[way] = backend.received(id)[0].Start
				}
				require.Equal(t, lines["direct"], lines["at 0 %"], target)
				require.Equal(t, lines["direct"], lines["at 100 %"], target)
			}
		})
	}
}
