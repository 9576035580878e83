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

// wrkReport is a script that makes wrk print the line that parseWrkResult reads.
//
//go:embed baseline/report.lua
var wrkReport string

// wrkRun is one run of wrk.
type wrkRun struct {
	port        int
	host        string
	connections int
	duration    time.Duration
}

// wrkResult is what wrk measured.
type wrkResult struct {
	requests int
	elapsed  time.Duration
	p50, p99 time.Duration
}

// runWrk runs wrk on the CPUs that the proxy does not have. It gives an error if
// any request failed, because the figures would then measure something else.
func (h *harness) runWrk(ctx context.Context, what wrkRun) (wrkResult, error) {
	script := filepath.Join(h.dir, "report.lua")
	if err := os.WriteFile(script, []byte(wrkReport), 0o644); err != nil {
		return wrkResult{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, what.duration+30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, h.wrk, "-t1", fmt.Sprintf("-c%d", what.connections),
		fmt.Sprintf("-d%ds", int(what.duration.Seconds())), "-s", script,
		"-H", "Host: "+what.host, "-H", "X-User-ID: 12345", "http://"+loopback(what.port)+"/")
	var text strings.Builder
	cmd.Stdout, cmd.Stderr = &text, &text
	if err := otherCPUs.start(cmd); err != nil {
		return wrkResult{}, fmt.Errorf("start wrk: %w", err)
	}
	if err := cmd.Wait(); err != nil {
		return wrkResult{}, fmt.Errorf("wrk: %w: %s", err, text.String())
	}
	return parseWrkResult(text.String())
}

func parseWrkResult(text string) (wrkResult, error) {
	_, line, found := strings.Cut(text, "REPORT ")
	var requests, failed, elapsed, p50, p99 int64
	_, err := fmt.Sscanf(line, "%d %d %d %d %d", &requests, &failed, &elapsed, &p50, &p99)
	switch {
	case !found || err != nil:
		return wrkResult{}, fmt.Errorf("wrk did not report: %s", text)
	case failed > 0 || requests == 0:
		return wrkResult{}, fmt.Errorf("%d of %d requests failed: %s", failed, requests, text)
	}
	return wrkResult{
		requests: int(requests),
		elapsed:  time.Duration(elapsed) * time.Microsecond,
		p50:      time.Duration(p50) * time.Microsecond,
		p99:      time.Duration(p99) * time.Microsecond,
	}, nil
}
