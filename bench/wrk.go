package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// wrkReport makes wrk print what we read.
//
//go:embed rivals/report.lua
var wrkReport string

// barrage is one run of wrk.
type barrage struct {
	port        int
	host        string
	connections int
	duration    time.Duration
}

// outcome is what wrk saw.
type outcome struct {
	requests int
	elapsed  time.Duration
	p50, p99 time.Duration
}

// fire runs wrk beside the proxy. One request that fails is an error: then
// something else was measured than what was meant.
func (b *bed) fire(ctx context.Context, what barrage) (outcome, error) {
	script := filepath.Join(b.dir, "report.lua")
	if err := os.WriteFile(script, []byte(wrkReport), 0o644); err != nil {
		return outcome{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, what.duration+30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.wrk, "-t1", fmt.Sprintf("-c%d", what.connections),
		fmt.Sprintf("-d%ds", int(what.duration.Seconds())), "-s", script,
		"-H", "Host: "+what.host, "-H", "X-User-ID: 12345", "http://"+loopback(what.port)+"/")
	var text strings.Builder
	cmd.Stdout, cmd.Stderr = &text, &text
	if err := together.start(cmd); err != nil {
		return outcome{}, fmt.Errorf("start wrk: %w", err)
	}
	if err := cmd.Wait(); err != nil {
		return outcome{}, fmt.Errorf("wrk: %w: %s", err, text.String())
	}
	return parseOutcome(text.String())
}

func parseOutcome(text string) (outcome, error) {
	_, line, found := strings.Cut(text, "REPORT ")
	var requests, failed, elapsed, p50, p99 int64
	_, err := fmt.Sscanf(line, "%d %d %d %d %d", &requests, &failed, &elapsed, &p50, &p99)
	switch {
	case !found || err != nil:
		return outcome{}, fmt.Errorf("wrk did not report: %s", text)
	case failed > 0 || requests == 0:
		return outcome{}, fmt.Errorf("%d of %d requests failed: %s", failed, requests, text)
	}
	return outcome{
		requests: int(requests),
		elapsed:  time.Duration(elapsed) * time.Microsecond,
		p50:      time.Duration(p50) * time.Microsecond,
		p99:      time.Duration(p99) * time.Microsecond,
	}, nil
}
