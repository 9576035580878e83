package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// TestJourney goes from "can we?" to "old may go": scan, opt in, update, drill, finish,
// report, opt out, under load. No request fails.
func TestJourney(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	s.Ingress("shop")
	before := s.IngressJSON("shop")
	require.Contains(t, s.Proxy(t, "scan", s.Namespace), "1 Ingresses: 1 ready")

	s.Configure(5, fastFallback)
	stream := s.Stream()
	s.OptIn("shop")
	s.WaitForPhase("shop", migrating)
	s.Proxy(t, "update", s.Service, "50")
	s.Send(400, func(load *wire.Load) { load.Rate = 100 }) // for 4 s; the watcher asks each second what was counted

	drill := s.Proxy(t, "drill", s.Service, "--for", "6s")
	t.Log(drill)
	require.Contains(t, drill, " 0 were lost (5xx), 0 went to new")
	s.WaitForPhase("shop", migrating)
	s.WaitForSplit(50)

	s.Proxy(t, "update", s.Service, "100")
	s.ExpectSplit(100)
	s.WaitForJournal("drill ended", "percentage 50 -> 100")
	finish := s.Try(t, s.ProxyCommand("finish", s.Service, "--quiet", "100ms"))
	t.Log(finish.Output)
	require.Equal(t, 1, finish.Code, "not everything is done")
	require.Contains(t, finish.Output, "[x] all requests go to new")
	require.Contains(t, finish.Output, "[x] quiet for", "a drill is no fallback")
	require.NotContains(t, finish.Output, "7 of 7 done")

	manifest := s.Proxy(t, "finish", s.Service, "-o", "ingress", "--ingress-class", "e2e", "--backend", "old:80", "--target-namespace", s.Namespace)
	s.Run(t, world.Command{Program: "kubectl", Args: []string{"create", "--dry-run=server", "-f", "-"}, Input: manifest})
	report := s.Proxy(t, "report", s.Service)
	require.Contains(t, report, "drill ended")
	require.Contains(t, report, "0 were lost")
	require.Regexp(t, `drill .*[1-9][0-9]* requests to new since`, report)

	stream.StopWithoutLoss()
	watched := s.Proxy(t, "finish", s.Service, "--watch=1s", "--quiet", "2s")
	require.Contains(t, watched, "old may go")
	s.OptOut("shop")
	s.WaitForIngressJSON("shop", before)
}
