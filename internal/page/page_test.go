package page_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/history"
	"github.com/migration-proxy/migration-proxy/internal/page"
	"github.com/migration-proxy/migration-proxy/internal/rampview"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/ramp"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func service(name string) page.Service {
	return page.Service{Service: status.Service{
		Name: name, OldHost: name + ".example.com", PathPrefix: "/", Strategy: "weight", Phase: status.Migrating, Share: 25,
		Ramp: &status.Ramp{Ceiling: 100, Position: 25}, Observed: new(24.8), ObservedRequests: 4000,
		Split: status.Split{Since: noon, Share: 25, Requests: 4000, New: 992},
		Old:   status.Side{Backend: "http://old", Rate: 30, P50: 0.004, P99: 0.2}, New: status.Side{Backend: "https://new", Rate: 10, Failed: 0.01, P50: 0.02, P99: 0.5},
	}}
}

func snapshot(services ...page.Service) page.Snapshot {
	return page.Snapshot{Place: "test", Headline: "ready", At: noon, Services: services, Ramps: map[string]rampview.Row{}}
}

func pageOf(t *testing.T, snap page.Snapshot, q page.Query, d *page.Detail) string {
	t.Helper()
	text, err := page.Page(&snap, q, d, page.Form{}, nil)
	require.NoError(t, err)
	return string(text)
}

func TestRows(t *testing.T) {
	t.Parallel()
	plain, spread, bad := service("plain"), service("spread"), service("bad")
	plain.Ramp, plain.Observed, plain.ObservedRequests = nil, nil, 3
	spread.Replicas = []page.ReplicaShare{{Pod: "a", Observed: new(20.0)}, {Pod: "b", Observed: new(29.6)}}
	bad.PathPrefix, bad.New.Unresolved, bad.Phase, bad.Reason = "/api", "no such host", status.FallenBack, "5 failures"
	snap := snapshot(plain, spread, bad)
	snap.Ramps["spread"] = rampview.Row{
		Service: "spread", Position: 25, Next: 50, Ceiling: 100, Phase: ramp.Waiting, Reason: ramp.ReasonAsk, Why: "a person must approve", NeedsPerson: true,
		Evidence: &rampview.Evidence{Failures: ramp.Odds{Ratio: 0.9, Low: 0.5, High: 1.6}},
		Summary:  ramp.Summary{New: ramp.Counts{Requests: 312}, Wanted: 600, Hold: 30 * time.Minute, Held: 12 * time.Minute},
	}
	u, err := page.TableUpdate(&snap)
	require.NoError(t, err)
	require.Equal(t, page.Row{
		Name: "plain", Where: "plain.example.com", Phase: "Migrating", Sign: "▶", Bar: page.Bar{Ceiling: 25, Share: 25, Low: -1, Wide: 1},
		Cells: []string{"25 %", "few requests", "30.0 / 10.0", "0.0\u00a0% / 1.0\u00a0%", "4.0\u00a0ms / 20\u00a0ms", "200\u00a0ms / 500\u00a0ms", "–", "–"},
	}, u.Rows[0])
	require.True(t, u.Rows[1].Person, "its ramp asks")
	require.Equal(t, []string{"25 % of 100 %", "20.0 to 29.6 %"}, u.Rows[1].Cells[:2])
	require.Equal(t, "waiting (ask): 312 of 600 requests, 12m of 30m; new fails 0.9 (0.5 to 1.6) times as often", u.Rows[1].Cells[6])
	require.InDelta(t, 9.6, u.Rows[1].Bar.Wide, 0.001)
	require.True(t, u.Rows[2].Person, "a name that does not resolve")
	require.Equal(t, "bad.example.com/api", u.Rows[2].Where)
	require.Contains(t, u.Top, "Needs a person: 2")
	require.Contains(t, u.Top, "migration-proxy ramp spread approve")
	require.Contains(t, u.Top, "Goes on by itself: 1")
	require.Equal(t, "12:00:00Z", u.At)
}

// TestHostileTexts: whatever names, reasons and Events say is text, in HTML, in
// attributes and in addresses.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(1)>' javascript:alert(1) {{.}}`
	s := service(evil)
	s.PathPrefix, s.Reason, s.New.Unresolved, s.Phase, s.Old.Addresses = evil, evil, evil, status.Phase(evil), []string{evil}
	s.Replicas = []page.ReplicaShare{{
		Pod: evil, Phase: status.Phase(evil), Reason: evil, Comparison: &status.Comparison{Findings: []string{evil}, Paused: evil},
	}}
	snap := snapshot(s)
	snap.Place, snap.Headline, snap.Notes, snap.Problems = evil, evil, []string{evil}, []status.Problem{{Service: evil, Text: evil, Person: true}}
	snap.Replicas = []page.Replica{{evil, evil, evil, evil, evil, evil}}
	d := page.Detail{
		Journal: []journal.Entry{{What: evil, By: evil, Why: evil}}, JournalNote: evil, Ingresses: []page.Ingress{{evil, evil, evil}}, IngressesNote: evil,
		Events: []page.Event{{noon, evil, evil, evil}}, EventsNote: evil, HistoryNote: evil,
		History: history.Document{Note: evil},
	}
	form := page.Form{Service: evil, Host: evil, Path: evil, Headers: evil, Cookies: evil, IP: evil}
	answer := &page.Answer{Side: evil, Facts: []page.Fact{{Name: evil, Value: evil}}}
	for _, q := range []page.Query{{}, {Service: evil}, {Filter: evil}} {
		made, err := page.Page(&snap, q, &d, form, answer)
		require.NoError(t, err)
		text := string(made)
		require.Equal(t, 1, strings.Count(text, "<script"), "its own")
		require.NotContains(t, text, "<img")
		require.NotContains(t, text, `href="javascript`)
		require.Contains(t, text, "&lt;script&gt;")
	}
	table, err := page.TableUpdate(&snap)
	require.NoError(t, err)
	require.NotContains(t, table.Top, "<script")
	details, err := page.DetailUpdate(&snap, evil, d)
	require.NoError(t, err)
	require.NotContains(t, details.Detail, "<script")
	trouble, err := page.Trouble(evil, evil)
	require.NoError(t, err)
	require.NotContains(t, string(trouble), "<script")
}

// TestSize: the page, its style and its script are less than 30 KB compressed, and name
// nothing outside.
func TestSize(t *testing.T) {
	t.Parallel()
	snap := snapshot(service("a"), service("b"), service("c"))
	h := history.Document{}
	for i := range history.Points {
		h.Points = append(h.Points, history.Point{At: noon.Add(time.Duration(i-history.Points) * time.Minute), Observed: new(float64(i % 7)), Old: history.Side{Rate: float64(i)}})
	}
	for name, text := range map[string]string{
		"table": pageOf(t, snap, page.Query{}, nil), "detail": pageOf(t, snap, page.Query{Service: "a"}, &page.Detail{History: h}),
	} {
		all := text + string(page.Style()) + string(page.Script())
		require.NotContains(t, string(page.Style())+string(page.Script()), "://")
		var packed bytes.Buffer
		writer := gzip.NewWriter(&packed)
		_, err := writer.Write([]byte(all))
		require.NoError(t, err)
		require.NoError(t, writer.Close())
		t.Logf("%s: %d bytes, %d compressed", name, len(all), packed.Len())
		require.Less(t, packed.Len(), 30_000)
	}
}

// BenchmarkTableUpdate is what a state of 1,000 services costs while somebody looks.
func BenchmarkTableUpdate(b *testing.B) {
	var all []page.Service
	for i := range 1000 {
		all = append(all, service(fmt.Sprintf("s%03d", i)))
	}
	snap, size := snapshot(all...), 0
	for b.Loop() {
		u, err := page.TableUpdate(&snap)
		require.NoError(b, err)
		text, err := json.Marshal(u)
		require.NoError(b, err)
		size = len(text)
	}
	b.ReportMetric(float64(size), "bytes")
}

func TestTableWithoutScript(t *testing.T) {
	t.Parallel()
	var all []page.Service
	for i := range 250 {
		all = append(all, service(fmt.Sprintf("s%03d", i)))
	}
	snap := snapshot(all...)
	first := pageOf(t, snap, page.Query{}, nil)
	require.Contains(t, first, ">s000<")
	require.Contains(t, first, ">s099<")
	require.NotContains(t, first, ">s100<")
	require.Contains(t, first, `href="?filter=&amp;from=100"`)
	require.Contains(t, first, ">250 services<")
	last := pageOf(t, snap, page.Query{From: 200}, nil)
	require.Contains(t, last, ">s249<")
	require.NotContains(t, last, ">More services<")
	require.Contains(t, last, `from=100">Services before these`)
	some := pageOf(t, snap, page.Query{Filter: "S01 EXAMPLE migr"}, nil)
	require.Contains(t, some, ">10 of 250 services<")
	require.Contains(t, pageOf(t, snap, page.Query{From: -3}, nil), ">s000<")
	require.Contains(t, pageOf(t, snap, page.Query{From: 1 << 40}, nil), ">250 services<")
}

func TestDetail(t *testing.T) {
	t.Parallel()
	shop := service("shop")
	shop.Comparison = &status.Comparison{Samples: 120, Same: new(99.2), Covered: 98, Findings: []string{"GET /a: status 200 and 404"}}
	snap := snapshot(shop)
	h := history.Document{Points: []history.Point{
		{At: noon.Add(-3 * time.Minute), Share: 10, Observed: new(9.0), Old: history.Side{Rate: 5, Failed: 0.02}, New: history.Side{Rate: 1, Failed: 0.5}},
		{At: noon.Add(-time.Minute), Share: 25, Old: history.Side{Rate: 10}},
	}}
	u, err := page.DetailUpdate(&snap, "shop", page.Detail{History: h, JournalNote: "no journal here"})
	require.NoError(t, err)
	require.Nil(t, u.Rows)
	for _, want := range []string{
		"992 of 4000 requests went to new", "no journal here", "<li>GET /a: status 200 and 404<", "25 % of 100 %",
		"120 requests asked of both sides in the last hour, 99.2 % answered alike; they stand for 98 % of the traffic",
		"Share of new over the last 30 min: wanted from 10.0\u00a0% to 25.0\u00a0%, at the end 25.0\u00a0%; observed from 9.0\u00a0% to 9.0\u00a0%, at the end 9.0\u00a0%",
		"Failed over the last 30 min: old from 0.0\u00a0% to 2.0\u00a0%, at the end 0.0\u00a0%; new from 50.0\u00a0% to 50.0\u00a0%",
		`d="M324 54.0h.5M348 45.0h.5"`, // two dots: a minute is missing between them
		"<span>30 min ago</span><span>15 min</span>",
		"30.0 / 10.0",
	} {
		require.Contains(t, u.Detail, want)
	}
	h.Points[0].At = noon.Add(-3 * time.Hour)
	old, err := page.DetailUpdate(&snap, "shop", page.Detail{History: h})
	require.NoError(t, err)
	require.Contains(t, old.Detail, `d="M180 54.0h.5M359 45.0h.5"`)
	require.Contains(t, old.Detail, "<span>6 h ago</span><span>3 h</span>")
	gone, err := page.DetailUpdate(&snap, "other", page.Detail{})
	require.NoError(t, err)
	require.Contains(t, gone.Detail, "not served any more")
	_, err = json.Marshal(u)
	require.NoError(t, err)
}

// TestManyProblemsAreBounded: a thousand services with one problem are no page of them.
func TestManyProblemsAreBounded(t *testing.T) {
	t.Parallel()
	var all []page.Service
	for i := range 1000 {
		s := service(fmt.Sprintf("s%03d", i))
		s.New.Unresolved = strings.Repeat("x", 5000)
		all = append(all, s)
	}
	snap := snapshot(all...)
	u, err := page.TableUpdate(&snap)
	require.NoError(t, err)
	require.Contains(t, u.Top, "Needs a person: 1000")
	require.Contains(t, u.Top, "980 more")
	require.Less(t, len(u.Top), 100_000)
}
