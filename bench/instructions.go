package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// measureInstructions runs the configs of the comparison under callgrind, in one
// process each. The kernel's instructions are not counted, but the count hardly
// varies.
func measureInstructions(ctx context.Context, h *harness) error {
	valgrind, err := exec.LookPath("valgrind")
	if err != nil {
		return fmt.Errorf("%w; install it", err)
	}
	comparison, err := h.startComparison(ctx)
	if err != nil {
		return err
	}
	defer comparison.stop()
	rows := [][]string{{"", "instructions/request", "to hand-written"}}
	base := 0.0
	for _, c := range comparison.candidates {
		if c.conf == "" {
			continue
		}
		count, err := h.instructions(ctx, valgrind, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if c.name == handwritten {
			base = count
		}
		rows = append(rows, []string{c.name, fmt.Sprintf("%.0f", count), fmt.Sprintf("%.2f", count/base)})
	}
	return h.table(rows)
}

// instructions gives the instructions of one request: the difference between a long
// and a short run, so that nginx's start does not count.
func (h *harness) instructions(ctx context.Context, valgrind string, c *candidate) (float64, error) {
	const few, many = 200, 2200
	short, err := h.callgrind(ctx, valgrind, c, few)
	if err != nil {
		return 0, err
	}
	long, err := h.callgrind(ctx, valgrind, c, many)
	return float64(long-short) / (many - few), err
}

var collected = regexp.MustCompile(`Collected : (\d+)`)

func (h *harness) callgrind(ctx context.Context, valgrind string, c *candidate, requests int) (int64, error) {
	dir, err := h.folder()
	if err != nil {
		return 0, err
	}
	port, err := testbed.FreePort()
	if err != nil {
		return 0, err
	}
	conf, err := configForOneProcess(c, dir, port)
	if err != nil {
		return 0, err
	}
	logFile := filepath.Join(dir, "valgrind.txt")
	process, err := startProcess(exec.Command(valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null", "--log-file="+logFile,
		h.nginx, "-p", dir, "-c", conf, "-e", filepath.Join(dir, "error.log")), dedicatedCPU)
	if err != nil {
		return 0, err
	}
	defer process.stop()
	if err := process.waitForPort(ctx, port, logFile); err != nil {
		return 0, err
	}
	report, err := testbed.Load{URL: "http://" + loopback(port) + "/", Host: c.host, Requests: requests}.Run(ctx)
	if err != nil {
		return 0, err
	}
	if report.Statuses[200] != requests {
		return 0, fmt.Errorf("%d of %d requests failed: %v %v", requests-report.Statuses[200], requests, report.Statuses, report.Errors)
	}
	if err := process.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	<-process.ended
	text, err := os.ReadFile(logFile)
	found := collected.FindSubmatch(text)
	if err != nil || found == nil {
		return 0, errors.Join(err, fmt.Errorf("callgrind did not print a count: %s", text))
	}
	return strconv.ParseInt(string(found[1]), 10, 64)
}

// configForOneProcess copies the config of a running candidate for a single process
// with another port and files of its own.
func configForOneProcess(c *candidate, dir string, port int) (string, error) {
	text, err := os.ReadFile(c.conf)
	if err != nil {
		return "", err
	}
	own := strings.ReplaceAll(string(text), loopback(c.port), loopback(port))
	for _, name := range []string{"nginx.pid", "admin.sock", "loop.sock", "access.log", "error.log"} {
		own = strings.ReplaceAll(own, filepath.Join(c.dir, name), filepath.Join(dir, name))
	}
	other := regexp.MustCompile(`(?m)^\s*listen ` + regexp.QuoteMeta(loopback(c.portNew)) + `.*;`)
	own = "master_process off;\n" + other.ReplaceAllString(own, "")
	file := filepath.Join(dir, "nginx.conf")
	return file, os.WriteFile(file, []byte(own), 0o644)
}
