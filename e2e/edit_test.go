package e2e

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// TestEditByHand runs kubectl edit with a mistake and without.
func TestEditByHand(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	s.Migrate(100)
	stream := s.Stream()
	edit := func(to string) world.Result {
		return s.KubectlEdit(t, fmt.Sprintf(`s/percentage: .*# of %s$/percentage: %s  # of %[1]s/`, s.Service, to))
	}

	refused := edit("500")
	require.NotZero(t, refused.Code, refused.Output)
	require.Regexp(t, `migration\.yaml:\d+:19: .*percentage.*500`, keptEdit(t, refused.Output), "line and column, in the editor")
	s.ExpectSplit(100)
	require.Contains(t, s.ConfigText(t), "percentage: 100  # of "+s.Service)

	accepted := edit("0")
	require.Zero(t, accepted.Code, accepted.Output)
	s.WaitForSplit(0)
	s.WaitForShare("shop", 0)
	stream.StopWithoutLoss()
}

var keptFile = regexp.MustCompile(`A copy of your changes has been stored to "(\S+)"`)

// keptEdit gives the last text of the editor: kubectl writes the reason above the
// text, and keeps the text when the user gives up.
func keptEdit(t *testing.T, output string) string {
	t.Helper()
	match := keptFile.FindStringSubmatch(output)
	require.NotNil(t, match, output)
	text, err := os.ReadFile(match[1])
	require.NoError(t, err)
	require.NoError(t, os.Remove(match[1]))
	return string(text)
}

// TestDryRunAndDiffChangeNothing checks that dry runs and diffs show the rewritten
// Ingress and change nothing.
func TestDryRunAndDiffChangeNothing(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	s.Configure(50)
	s.Ingress("ready")
	s.OptIn("ready") // so that the scenario knows when the replicas serve it
	s.WaitForPhase("ready", migrating)
	manifest := s.Manifest("shop", enabled)
	applied := world.Command{Program: "kubectl", Args: []string{"apply", "--dry-run=server", "-o", "yaml", "-f", "-"}, Input: s.Manifest("ready", enabled)}
	for range 4 { // every webhook replica
		require.Contains(t, s.Run(t, applied), "name: "+world.ProxyService+"-", "what is rewritten stays so")
	}
	waiting := world.Command{Program: "kubectl", Args: []string{"apply", "--dry-run=server", "-o", "yaml", "-f", "-"}, Input: manifest}
	require.Contains(t, s.Run(t, waiting), world.Annotations+"phase: Bypassed", "only the watcher switches it")
	s.WaitForNoIngress("shop")

	s.Run(t, world.Command{Program: "kubectl", Args: []string{"apply", "-f", "-"}, Input: s.Manifest("shop", nil)})
	before := s.GetIngress("shop")
	for _, args := range [][]string{{"diff", "-f", "-"}, {"diff", "--server-side", "-f", "-"}} {
		diff := s.Try(t, world.Command{Program: "kubectl", Args: args, Input: manifest})
		require.Equal(t, 1, diff.Code, diff.Output) // there are differences, and no error
		require.Regexp(t, `\n\+ +`+world.Annotations+`phase: Bypassed\n`, diff.Output)
	}
	s.Kubectl(t, "annotate", "ingress", "shop", "-n", s.Namespace, "--dry-run=server", world.Annotations+"enabled=true")
	require.Equal(t, before.ResourceVersion, s.GetIngress("shop").ResourceVersion)

	text := s.ConfigText(t)
	require.Contains(t, s.Proxy(t, "update", s.Service, "70", "--dry-run"), "70")
	require.Contains(t, text, "percentage: 50  # of "+s.Service)
	require.Contains(t, s.ConfigText(t), "percentage: 50  # of "+s.Service)
}

// TestConcurrentUpdatesAreAllKept changes several services at the same time.
func TestConcurrentUpdatesAreAllKept(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	names := []string{s.Service + "-a", s.Service + "-b", s.Service + "-c"}
	for _, name := range names {
		s.ConfigureAs(name, s.TextOf(name, name+".example.com", 1))
	}
	results := make([]world.Result, len(names))
	var users sync.WaitGroup
	for i, name := range names {
		users.Go(func() { results[i] = s.Try(t, s.ProxyCommand("update", name, strconv.Itoa(10+i))) })
	}
	users.Wait() // a goroutine that Try ended has failed the test
	for _, result := range results {
		require.Zero(t, result.Code, result.Output)
	}
	for i, name := range names {
		require.Contains(t, s.ConfigText(t), fmt.Sprintf("percentage: %d  # of %s\n", 10+i, name))
	}
}

// TestABadConfigThatSlippedIn writes an invalid config without the admission check.
// The valid config stays in force, and an Event has the error.
func TestABadConfigThatSlippedIn(t *testing.T) {
	s := cluster.NewApp(t)
	s.Migrate(100)
	stream := s.Stream()
	removeConfigCheck(t)
	require.NoError(t, s.EditConfig(t.Context(), replacing("percentage: 100  # of "+s.Service, "percentage: many  # of "+s.Service)))
	s.WaitForEvent(t, world.Namespace, "ConfigMap", "ConfigRejected", "many")
	s.ExpectSplit(100)
	require.NoError(t, s.EditConfig(t.Context(), replacing("percentage: many  # of "+s.Service, "percentage: 0  # of "+s.Service)))
	s.WaitForSplit(0)
	stream.StopWithoutLoss()
}

// removeConfigCheck removes the admission check of the migration config until the end
// of the scenario.
func removeConfigCheck(t *testing.T) {
	t.Helper()
	name := []string{"validatingwebhookconfiguration", world.Webhook}
	check := cluster.Kubectl(t, append([]string{"get", "-o", "yaml"}, name...)...)
	cluster.Kubectl(t, append([]string{"delete"}, name...)...)
	t.Cleanup(func() {
		cluster.Run(cleanup{t}, world.Command{Program: "kubectl", Args: []string{"create", "-f", "-"}, Input: check})
	})
}

func replacing(old, new string) func(string) string {
	return func(text string) string { return strings.Replace(text, old, new, 1) }
}

// TestEditTakesEffectAtOnce measures the time from the API server's answer to the last
// request that follows the old percentage, with two replicas under load.
// docs/performance.md has its figures (make e2e-figures).
func TestEditTakesEffectAtOnce(t *testing.T) {
	s := cluster.NewApp(t)
	s.Migrate(0)
	pattern := regexp.MustCompile(`percentage: \d+  # of ` + s.Service)
	measureDelays(t, s, "edits", func(percent int) error {
		return s.EditConfig(t.Context(), func(text string) string {
			return pattern.ReplaceAllString(text, fmt.Sprintf("percentage: %d  # of %s", percent, s.Service))
		})
	})
}

// TestPositionTakesEffectAtOnce measures the same for the position of a ramp, from the API
// server's answer to the leader that writes it. The scenario is the leader, so that it need
// not wait ten seconds for each.
func TestPositionTakesEffectAtOnce(t *testing.T) {
	s := cluster.NewApp(t)
	s.Ingress("shop")
	s.Configure(100, "  ramp: {steps: [0.01, 100], hold: 1h}")
	s.OptIn("shop")
	s.WaitForPhase("shop", migrating)
	s.WaitForPosition(s.Service, 0.01)
	back := scaleToZero(t, world.Webhook)
	require.NoError(t, s.SetPosition(0))
	s.WaitForSplit(0)
	measureDelays(t, s, "positions", s.SetPosition)
	back()
}

// measureDelays changes the share of a service between 0 and 100 % and requires that
// requests follow at once. No request may fail.
func measureDelays(t *testing.T, s *world.App, what string, change func(percent int) error) {
	t.Helper()
	stream := s.Stream(func(load *wire.Load) { load.Connections, load.Rate = 8, 400 })
	changes := 10
	if long() {
		changes = 200
	}
	var delays []time.Duration
	for i := range changes {
		delays = append(delays, changeDelay(t, stream, 100*((i+1)%2), change))
	}
	stream.StopWithoutLoss()
	slices.Sort(delays)
	at := func(percent int) time.Duration { return delays[(len(delays)-1)*percent/100] }
	t.Logf("%d %s: p50 %s, p90 %s, p99 %s, max %s", changes, what, at(50), at(90), at(99), at(100))
	if long() && cluster.Local() {
		require.Less(t, at(99), 300*time.Millisecond)
	}
	require.Less(t, at(100), 20*time.Second, "a busy machine")
}

// changeDelay changes the share and gives the time until the last answer of the side that
// no longer gets requests. It is negative if that answer came before the change was
// accepted.
func changeDelay(t *testing.T, stream *world.Stream, percent int, change func(percent int) error) time.Duration {
	t.Helper()
	before, after := world.Old, world.New
	if percent == 0 {
		before, after = after, before
	}
	require.NoError(t, change(percent))
	accepted := time.Now()
	ahead := stream.ClockOffset()
	var last time.Time
	world.Eventually(t, "no answer of "+before+" for half a second", func(context.Context) error {
		report := stream.Watch()
		last = report.Last[before]
		if quiet := report.Now.Sub(last); quiet < 500*time.Millisecond {
			return fmt.Errorf("the last one was %s ago", quiet)
		}
		if report.Last[after].Before(last) {
			return fmt.Errorf("%s has not answered since", after)
		}
		return nil
	})
	return last.Sub(accepted.Add(ahead)).Round(time.Millisecond)
}
