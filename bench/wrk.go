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

// wrkReport is a script that makes wrk print the line that parseWrkReport reads.
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

// runWrk runs wrk on the CPUs that the proxy does not have, and gives the number of
// requests. It gives an error if any failed, because the figures would then measure
// something else.
func (h *harness) runWrk(ctx context.Context, what wrkRun) (requests int, err error) {
	script := filepath.Join(h.dir, "report.lua")
	if err := os.WriteFile(script, []byte(wrkReport), 0o644); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, what.duration+30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, h.wrk, "-t1", fmt.Sprintf("-c%d", what.connections),
		fmt.Sprintf("-d%ds", int(what.duration.Seconds())), "-s", script,
		"-H", "Host: "+what.host, "-H", "X-User-ID: 12345", "http://"+loopback(what.port)+"/")
	var text strings.Builder
	cmd.Stdout, cmd.Stderr = &text, &text
	if err := otherCPUs.start(cmd); err != nil {
		return 0, fmt.Errorf("start wrk: %w", err)
	}
	if err := cmd.Wait(); err != nil {
		return 0, fmt.Errorf("wrk: %w: %s", err, text.String())
	}
	return parseWrkReport(text.String())
}

func parseWrkReport(text string) (requests int, err error) {
	_, line, found := strings.Cut(text, "REPORT ")
	var failed int
	_, err = fmt.Sscanf(line, "%d %d", &requests, &failed)
	switch {
	case !found || err != nil:
		return 0, fmt.Errorf("wrk did not report: %s", text)
	case failed > 0 || requests == 0:
		return 0, fmt.Errorf("%d of %d requests failed: %s", failed, requests, text)
	}
	return requests, nil
}
