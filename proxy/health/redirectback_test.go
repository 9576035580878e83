package health

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// TestRedirectBack: a redirect to what was asked for is a failure of new. The probe says
// that the client uses https, as new may redirect other clients rightly.
func TestRedirectBack(t *testing.T) {
	t.Parallel()
	backend := start(t, testbed.Options{})
	backend.Answer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Forwarded-Host") != "shop.example.com" || r.Header.Get("X-Forwarded-Proto") != "https" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if r.URL.Path == "/cookie" {
			w.Header().Set("Set-Cookie", "seen=1")
		}
		w.Header().Set("Location", r.URL.Query().Get("to"))
		w.WriteHeader(http.StatusPermanentRedirect)
	}))
	for target, back := range map[string]bool{
		"/x?to=https://api.new/x%3Fto=https://api.new/x": false, // the query is another one
		"/cookie?to=/cookie":                             false,
		"/x?to=/login":                                   false,
		"/x?to=https://elsewhere.example/x":              false,
		"/x":                                             false, // no Location
	} {
		spec := plain(target)
		spec.ClientHost = "shop.example.com"
		err := probeOnce(t, spec, backend.Addr())
		require.Equal(t, back, err != nil, "%s: %v", target, err)
	}
	for _, location := range []string{"https://api.new/x", "http://API.new.:8080/x", "//shop.example.com/x", "/x", ""} {
		backend.Answer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Location"] = []string{location}
			w.WriteHeader(http.StatusMovedPermanently)
		}))
		spec := plain("/x")
		require.NoError(t, probeOnce(t, spec, backend.Addr()), "old is not translated")
		spec.ClientHost = "shop.example.com"
		err := probeOnce(t, spec, backend.Addr())
		if location == "" {
			require.NoError(t, err)
			continue
		}
		require.Equal(t, fallback.FailureRedirect, failureOf(t, err), location)
	}
}
