package deploy

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

type alert struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

func alerts(t *testing.T) []alert {
	t.Helper()
	text, err := os.ReadFile("chart/alerts.yaml")
	require.NoError(t, err)
	var found []alert
	require.NoError(t, yaml.UnmarshalStrict(text, &found))
	require.NotEmpty(t, found)
	return found
}

var metricName = regexp.MustCompile(`migration_proxy_([a-z_]+)`)

// TestAlerts: they are about metrics that exist, and the handbook says what to
// do about each.
func TestAlerts(t *testing.T) {
	t.Parallel()
	handbook, err := os.ReadFile("../docs/operations.md")
	require.NoError(t, err)
	code := source(t)
	for _, alert := range alerts(t) {
		require.Contains(t, string(handbook), "`"+alert.Alert+"`")
		require.Contains(t, []string{"critical", "warning"}, alert.Labels["severity"])
		require.NotEmpty(t, alert.Annotations["summary"])
		require.NotEmpty(t, alert.Annotations["description"])
		for _, name := range metricName.FindAllStringSubmatch(alert.Expr, -1) {
			require.Regexp(t, `"(migration_proxy_)?`+name[1]+`"`, code, "%s", alert.Alert)
		}
	}
}

// TestNothingIsSilent: what can be wrong for ever has an alert.
func TestNothingIsSilent(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	for _, alert := range alerts(t) {
		all.WriteString(alert.Expr + "\n")
	}
	for _, metric := range []string{
		"ready == 1", "config_in_sync == 0", "watcher_config_valid == 0", "watcher_replica_config_in_sync == 0",
		"watcher_paused == 1", "watcher_failing > 0",
	} {
		require.Regexp(t, `migration_proxy_`+strings.Replace(metric, " ", `\)? `, 1), all.String())
	}
}

// TestAlertsAreRendered: Helm's braces do not eat those of Prometheus.
func TestAlertsAreRendered(t *testing.T) {
	t.Parallel()
	text, err := template(t, "monitoring.prometheusRule.enabled=true", "monitoring.podMonitor.enabled=true", "monitoring.podMonitor.labels.a=b")
	require.NoError(t, err)
	require.Contains(t, text, "kind: PodMonitor")
	require.Contains(t, text, "{{ $labels.service }} fell back")
	for _, alert := range alerts(t) {
		require.Contains(t, text, "- alert: "+alert.Alert+"\n")
	}
}

// TestHandbookKnowsTheEvents: what a user finds in kubectl describe, he finds
// there.
func TestHandbookKnowsTheEvents(t *testing.T) {
	t.Parallel()
	handbook, err := os.ReadFile("../docs/operations.md")
	require.NoError(t, err)
	text, err := os.ReadFile("../watcher/events.go")
	require.NoError(t, err)
	reasons := regexp.MustCompile(`(?m)^\tEvent\w+ += "(\w+)"`).FindAllStringSubmatch(string(text), -1)
	require.NotEmpty(t, reasons)
	for _, reason := range reasons {
		require.Contains(t, string(handbook), "`"+reason[1]+"`")
	}
}

// source is the text of the program.
func source(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, room := range []string{"api", "proxy", "webhook", "watcher", "certs", "cmd"} {
		err := filepath.WalkDir(filepath.Join("..", room), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" {
				return err
			}
			text, err := os.ReadFile(path)
			all.Write(text)
			return err
		})
		require.NoError(t, err)
	}
	return all.String()
}
