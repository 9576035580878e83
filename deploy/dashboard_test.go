package deploy

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
)

type dashboard struct {
	Panels []struct {
		ID          int    `json:"id"`
		Type        string `json:"type"`
		Title       string `json:"title"`
		Description string `json:"description"`
		GridPos     struct{ H, W, X, Y int }
		Targets     []struct {
			Expr string `json:"expr"`
		} `json:"targets"`
	} `json:"panels"`
	Templating struct {
		List []struct {
			Name  string `json:"name"`
			Query any    `json:"query"`
		} `json:"list"`
	} `json:"templating"`
}

// TestDashboard: every query parses, and asks for metrics and labels that exist.
func TestDashboard(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("chart/dashboard.json")
	require.NoError(t, err)
	var board dashboard
	require.NoError(t, json.Unmarshal(text, &board))
	metrics, queries := knownMetrics(t), 0
	taken := map[[2]int]string{}
	for i, panel := range board.Panels {
		require.Equal(t, i+1, panel.ID)
		require.NotEmpty(t, panel.Title)
		for x := range panel.GridPos.W {
			for y := range panel.GridPos.H {
				cell := [2]int{panel.GridPos.X + x, panel.GridPos.Y + y}
				require.Less(t, cell[0], 24, panel.Title)
				require.Empty(t, taken[cell], "%s covers it", panel.Title)
				taken[cell] = panel.Title
			}
		}
		if panel.Type == "row" {
			continue
		}
		require.NotEmpty(t, panel.Description, panel.Title)
		require.NotEmpty(t, panel.Targets, panel.Title)
		for _, target := range panel.Targets {
			queries++
			requireQuery(t, metrics, target.Expr)
		}
	}
	require.Greater(t, queries, 25)
	list := board.Templating.List
	require.Equal(t, []string{"datasource", "service"}, []string{list[0].Name, list[1].Name})
	require.Contains(t, string(text), "label_values(migration_proxy_share_desired_ratio, service)")
}

// TestAlertQueries: the same holds for the alerts.
func TestAlertQueries(t *testing.T) {
	t.Parallel()
	metrics := knownMetrics(t)
	for _, alert := range alerts(t) {
		requireQuery(t, metrics, alert.Expr)
	}
}

// TestDashboardIsRendered: the ConfigMap has the file as it is, and the label that
// Grafana's sidecar looks for. It is not there unless it is asked for.
func TestDashboardIsRendered(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("chart/dashboard.json")
	require.NoError(t, err)
	found := one[*corev1.ConfigMap](t, render(t, "monitoring.dashboard.enabled=true"), "migration-proxy-dashboard")
	require.Equal(t, strings.TrimSpace(string(text)), strings.TrimSpace(found.Data["migration-proxy.json"]))
	require.Equal(t, "1", found.Labels["grafana_dashboard"])
	for _, object := range all[*corev1.ConfigMap](render(t)) {
		require.NotEqual(t, "migration-proxy-dashboard", object.Name)
	}
}

var metricRow = regexp.MustCompile("(?m)^\\| `(migration_proxy_[a-z_]+)` \\| (\\w+) \\| ([^|]*) \\|")

// knownMetrics are the labels of each series, from docs/metrics.md, which is made from the
// code.
func knownMetrics(t *testing.T) map[string][]string {
	t.Helper()
	page, err := os.ReadFile("../docs/metrics.md")
	require.NoError(t, err)
	known := map[string][]string{}
	for _, row := range metricRow.FindAllStringSubmatch(string(page), -1) {
		labels := []string{"pod", "instance", "namespace", "job"} // of the scrape
		for label := range strings.SplitSeq(row[3], ",") {
			labels = append(labels, strings.Trim(label, " `"))
		}
		if row[2] != "histogram" {
			known[row[1]] = labels
			continue
		}
		known[row[1]+"_count"], known[row[1]+"_sum"] = labels, labels
		known[row[1]+"_bucket"] = append(slices.Clone(labels), "le")
	}
	require.Greater(t, len(known), 30)
	return known
}

func requireQuery(t *testing.T, metrics map[string][]string, query string) {
	t.Helper()
	parsed, err := parser.ParseExpr(strings.ReplaceAll(query, "$__rate_interval", "5m"))
	require.NoError(t, err, query)
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		switch node := node.(type) {
		case *parser.VectorSelector:
			labels, ok := metrics[node.Name]
			require.True(t, ok, "no metric %s in %s", node.Name, query)
			for _, matcher := range node.LabelMatchers {
				require.Contains(t, append([]string{"__name__"}, labels...), matcher.Name, query)
			}
		case *parser.AggregateExpr:
			requireLabels(t, metrics, node)
		}
		return nil
	})
}

// requireLabels: what an aggregation groups by exists in all that it adds up.
func requireLabels(t *testing.T, metrics map[string][]string, aggregation *parser.AggregateExpr) {
	t.Helper()
	parser.Inspect(aggregation.Expr, func(node parser.Node, _ []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok && !aggregation.Without {
			for _, label := range aggregation.Grouping {
				require.Contains(t, metrics[selector.Name], label, aggregation.String())
			}
		}
		return nil
	})
}
