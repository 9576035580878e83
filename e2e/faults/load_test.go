package faults

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

// loadServices is the number of services in the load test.
const loadServices = 1000

// TestLoad sends requests over 16 connections as fast as answers come, half of them
// over https to new, with 1,000 services, while percentages change every second.
func TestLoad(t *testing.T) {
	t.Parallel()
	p := newAPIProxy(t)
	first := p.thousand()
	p.start(first)
	before := p.resources()
	began := time.Now()
	plain := p.clients("s0", rates{connections: 4})
	secure := p.clients("s1", rates{connections: 4})
	memory := p.weighEverySecond(shortOrLong(10*time.Second, 3*time.Minute))
	took := time.Since(began)
	now := p.waitFor("the last share", func(s status.Status) bool { return s.Ready && s.Config.Rejected == nil })
	for name, clients := range map[string]*traffic{"s0, new by http": plain, "s1, new by https": secure} {
		result := p.finish(clients, fmt.Sprintf("%s, %.0f requests a second", name, float64(clients.answered.Load())/took.Seconds()), began, time.Time{})
		result.group = "7. Load: 1,000 services, 16 connections, 100 shares changed every second"
		result.status = fmt.Sprintf("reloads %d; %s", now.Nginx.Reloads-1, memory)
		results.add(t, result)
		require.Zero(t, result.get.failed+result.post.failed+result.duplicates, "%v", clients.kinds())
	}
	memory.requireFlat(t)
	p.write(configHead + first)
	p.requireNoLeak(before)
}

// thousand is a config of 1,000 services with random percentages.
func (p *apiProxy) thousand() string {
	var text bytes.Buffer
	for i := range loadServices {
		new := p.old.URL() // new may be the same backend as old
		if i%2 == 1 {
			new = p.new.URL()
		}
		text.WriteString(p.service(fmt.Sprintf("s%d", i), p.old.URL(), new, share(i), noTrip))
	}
	return text.String()
}

func share(i int) string {
	percent := 50
	if i < 100 {
		percent = rand.IntN(101)
	}
	return fmt.Sprintf("    migration: {enabled: true, percentage: %d}", percent)
}

// weighEverySecond changes the percentages of a hundred services every second, also of
// those under load, and records the memory.
func (p *apiProxy) weighEverySecond(length time.Duration) *memory {
	m := &memory{}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for end := time.Now().Add(length); time.Now().Before(end); {
		p.write(configHead + p.thousand())
		<-tick.C
		m.look(p.proxyRun)
	}
	return m
}

// memory has the resident memory in bytes, one value per second.
type memory struct{ agent, workers []int }

func (m *memory) look(w *proxyRun) {
	m.agent = append(m.agent, w.resident(w.agent.Process.Pid))
	sum := 0
	for _, worker := range w.children(w.master()) {
		sum += worker.ResidentMemory()
	}
	m.workers = append(m.workers, sum)
}

func (w *proxyRun) resident(pid int) int {
	process, err := procfs.NewProc(pid)
	require.NoError(w.t, err)
	stat, err := process.Stat()
	require.NoError(w.t, err)
	return stat.ResidentMemory()
}

// thirds gives the medians of the first and the last third.
func thirds(samples []int) (first, last int) {
	third := len(samples) / 3
	return median(samples[:third]), median(samples[len(samples)-third:])
}

func median(samples []int) int {
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[len(sorted)/2]
}

func (m *memory) String() string {
	a, b := thirds(m.agent)
	c, d := thirds(m.workers)
	return fmt.Sprintf("agent %d -> %d MB, workers %d -> %d MB (first and last third)", a>>20, b>>20, c>>20, d>>20)
}

// requireFlat allows an increase of 10 % and 24 MB, for the first seconds of a Go
// heap.
func (m *memory) requireFlat(t *testing.T) {
	t.Helper()
	for name, samples := range map[string][]int{"agent": m.agent, "workers": m.workers} {
		first, last := thirds(samples)
		require.LessOrEqual(t, last, first+first/10+(24<<20), "%s: %v", name, samples)
	}
}
