package httpapi

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

// TestBrief: what is there is as in the whole, and nothing else is.
func TestBrief(t *testing.T) {
	t.Parallel()
	o := options()
	url := serve(t, o)
	response, body := ask(t, "GET", url+"/status?brief")
	require.Equal(t, 200, response.StatusCode)
	var whole status.Status
	require.NoError(t, json.Unmarshal([]byte(body), &whole))
	want := example()
	for i, s := range want.Services {
		want.Services[i] = status.Service{
			Name: s.Name, OldHost: s.OldHost, PathPrefix: s.PathPrefix, Share: s.Share, Phase: s.Phase, Reason: s.Reason,
			Old: status.Side{Addresses: s.Old.Addresses, Unresolved: s.Old.Unresolved},
		}
	}
	require.Equal(t, want, whole)
	require.NotContains(t, body, "observed_percent")
	require.NotContains(t, body, "latency")
	require.Equal(t, 1, strings.Count(body, "\n"), "it is for programs")

	_, body = ask(t, "GET", url+"/status?brief&service=web")
	require.Contains(t, body, `"web"`)
	require.NotContains(t, body, `"api"`)
}

// TestBriefComputesLess: who has a cheaper source for it is asked by that one.
func TestBriefComputesLess(t *testing.T) {
	t.Parallel()
	o := options()
	o.Brief = func() status.Status { return status.Status{Version: "cheap"} }
	url := serve(t, o)
	_, body := ask(t, "GET", url+"/status?brief")
	require.Contains(t, body, `"cheap"`)
	_, body = ask(t, "GET", url+"/status")
	require.NotContains(t, body, `"cheap"`)
}
