package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
)

// TestConfigsLoad checks the generated configs: bench itself would find an invalid
// one only after it has started all programs.
func TestConfigsLoad(t *testing.T) {
	t.Parallel()
	for _, s := range []services{
		{count: 3},
		{count: 2, shares: map[int]string{0: "0", 1: "12.34"}, hashed: map[int]bool{1: true}, timeout: "20s"},
		{count: 2, https: true},
		{count: 2, https: true, caFile: "/ca.pem"},
	} {
		s.backends = backends{old: 20000, new: 20001}
		table, err := config.Load("bench.yaml", []byte(s.yaml()))
		require.NoError(t, err)
		require.Len(t, table.Services(), s.count)
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	values := []int{5, 1, 4, 2, 3}
	require.Equal(t, 3, median(values))
	require.Equal(t, 1, quantile(values, 0))
	require.Equal(t, 5, quantile(values, 0.99))
	require.Equal(t, 0, median([]int(nil)))
	require.Equal(t, "2.00 (1.00-3.00)", medianAndRange(ratios([]float64{1, 4, 6}, []float64{1, 2, 2})))
}

func TestParseWrkReport(t *testing.T) {
	t.Parallel()
	got, err := parseWrkReport("Running 3s test\nREPORT 1000 0\n")
	require.NoError(t, err)
	require.Equal(t, 1000, got)
	_, err = parseWrkReport("REPORT 1000 3\n")
	require.ErrorContains(t, err, "3 of 1000 requests failed")
	_, err = parseWrkReport("unable to connect")
	require.ErrorContains(t, err, "unable to connect")
}

func TestChoose(t *testing.T) {
	t.Parallel()
	all, err := choose("")
	require.NoError(t, err)
	require.Len(t, all, len(parts)-2) // all but instructions and admission
	some, err := choose("losses,cpu")
	require.NoError(t, err)
	require.Equal(t, []string{"cpu", "losses"}, []string{some[0].name, some[1].name})
	_, err = choose("cpux")
	require.ErrorContains(t, err, "cpux")
}

func TestOwnProcess(t *testing.T) {
	t.Parallel()
	used, err := cpuTime(os.Getpid())
	require.NoError(t, err)
	require.Positive(t, used)
	size, err := memoryOf(os.Getpid())
	require.NoError(t, err)
	require.GreaterOrEqual(t, size.rss, size.pss)
	require.Positive(t, size.pss)
}
