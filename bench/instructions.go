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

// measureInstructions runs the same configs in one process under callgrind:
// what the kernel does is not counted, but the count hardly varies.
func measureInstructions(ctx context.Context, b *bed) error {
	valgrind, err := exec.LookPath("valgrind")
	if err != nil {
		return fmt.Errorf("%w; install it", err)
	}
	world, err := b.startWorld(ctx)
	if err != nil {
		return err
	}
	defer world.stop()
	rows := [][]string{{"", "instructions/request", "to hand-written"}}
	base := 0.0
	for _, c := range world.contestants {
		if c.conf == "" {
			continue
		}
		count, err := b.instructions(ctx, valgrind, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if c.name == handwritten {
			base = count
		}
		rows = append(rows, []string{c.name, fmt.Sprintf("%.0f", count), fmt.Sprintf("%.2f", count/base)})
	}
	return b.table(rows)
}

// instructions of one request: a long run less a short one, so that the start
// does not count.
func (b *bed) instructions(ctx context.Context, valgrind string, c *contestant) (float64, error) {
	const few, many = 200, 2200
	short, err := b.callgrind(ctx, valgrind, c, few)
	if err != nil {
		return 0, err
	}
	long, err := b.callgrind(ctx, valgrind, c, many)
	return float64(long-short) / (many - few), err
}

var collected = regexp.MustCompile(`Collected : (\d+)`)

func (b *bed) callgrind(ctx context.Context, valgrind string, c *contestant, requests int) (int64, error) {
	dir, err := b.folder()
	if err != nil {
		return 0, err
	}
	port, err := testbed.FreePort()
	if err != nil {
		return 0, err
	}
	conf, err := alone(c, dir, port)
	if err != nil {
		return 0, err
	}
	said := filepath.Join(dir, "valgrind.txt")
	process, err := launch(exec.Command(valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null", "--log-file="+said,
		b.nginx, "-p", dir, "-c", conf, "-e", filepath.Join(dir, "error.log")), apart)
	if err != nil {
		return 0, err
	}
	defer process.stop()
	if err := process.awaitPort(ctx, port, said); err != nil {
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
	text, err := os.ReadFile(said)
	found := collected.FindSubmatch(text)
	if err != nil || found == nil {
		return 0, errors.Join(err, fmt.Errorf("callgrind did not report: %s", text))
	}
	return strconv.ParseInt(string(found[1]), 10, 64)
}

// alone copies a config for one process that serves on another port, and
// leaves the files of the running one alone.
func alone(c *contestant, dir string, port int) (string, error) {
	text, err := os.ReadFile(c.conf)
	if err != nil {
		return "", err
	}
	own := strings.ReplaceAll(string(text), loopback(c.port), loopback(port))
	for _, name := range []string{"nginx.pid", "admin.sock", "access.log", "error.log"} {
		own = strings.ReplaceAll(own, filepath.Join(c.dir, name), filepath.Join(dir, name))
	}
	other := regexp.MustCompile(`(?m)^\s*listen ` + regexp.QuoteMeta(loopback(c.portNew)) + `.*;`)
	own = "master_process off;\n" + other.ReplaceAllString(own, "")
	file := filepath.Join(dir, "nginx.conf")
	return file, os.WriteFile(file, []byte(own), 0o644)
}
