package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
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
// process each, with two kinds of request. The kernel's instructions are not counted,
// but the count hardly varies.
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
	for _, kind := range kinds {
		h.printf("\n%s:\n\n", kind.about)
		if err := h.compareInstructions(ctx, valgrind, comparison.candidates, kind); err != nil {
			return err
		}
	}
	return nil
}

// kind is a kind of request.
type kind struct {
	about  string
	header http.Header
	behind bool // sent by an ingress controller
}

var kinds = []kind{
	{about: "A bare request to a proxy that clients reach directly"},
	{about: "A browser's request as ingress-nginx sends it on, to a proxy in a cluster", behind: true, header: http.Header{
		"X-Request-Id":       {"5f0c1d7e9a3b4c2d8e6f7a1b2c3d4e5f"},
		"X-Real-Ip":          {"203.0.113.7"},
		"X-Forwarded-For":    {"203.0.113.7"},
		"X-Forwarded-Host":   {"shop.example.com"},
		"X-Forwarded-Port":   {"443"},
		"X-Forwarded-Proto":  {"https"},
		"X-Forwarded-Scheme": {"https"},
		"X-Scheme":           {"https"},
		"User-Agent":         {"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
		"Accept":             {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
		"Accept-Language":    {"en-US,en;q=0.5"},
		"Accept-Encoding":    {"gzip, deflate, br"},
		"Cookie":             {"session=4bf92f3577b34da6a3ce929d0e0e4736"},
	}},
}

func (h *harness) compareInstructions(ctx context.Context, valgrind string, all []*candidate, kind kind) error {
	rows := [][]string{{"", "instructions/request", "to hand-written", "to the split"}}
	var base, split float64
	for _, c := range all {
		if c.conf == "" {
			continue
		}
		count, err := h.instructions(ctx, valgrind, c, kind)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		switch c.name {
		case handwritten:
			base = count
		case handwrittenSplit:
			split = count
		}
		rows = append(rows, []string{c.name, fmt.Sprintf("%.0f", count), ratio(count, base), ratio(count, split)})
	}
	return h.table(rows)
}

func ratio(count, to float64) string {
	if to == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", count/to)
}

// instructions gives the instructions of one request: the difference between a long
// and a short run, so that nginx's start does not count.
func (h *harness) instructions(ctx context.Context, valgrind string, c *candidate, kind kind) (float64, error) {
	const few, many = 200, 2200
	short, err := h.callgrind(ctx, valgrind, c, kind, few)
	if err != nil {
		return 0, err
	}
	long, err := h.callgrind(ctx, valgrind, c, kind, many)
	return float64(long-short) / (many - few), err
}

// plainCopies keeps glibc from rep stosb and rep movsb, of which callgrind counts each
// byte as an instruction.
const plainCopies = "GLIBC_TUNABLES=glibc.cpu.x86_rep_stosb_threshold=1000000000:glibc.cpu.x86_rep_movsb_threshold=1000000000"

var collected = regexp.MustCompile(`Collected : (\d+)`)

func (h *harness) callgrind(ctx context.Context, valgrind string, c *candidate, kind kind, requests int) (int64, error) {
	dir, err := h.folder()
	if err != nil {
		return 0, err
	}
	port, err := testbed.FreePort()
	if err != nil {
		return 0, err
	}
	conf, err := configForOneProcess(c, kind, dir, port)
	if err != nil {
		return 0, err
	}
	logFile := filepath.Join(dir, "valgrind.txt")
	cmd := exec.Command(valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null", "--log-file="+logFile,
		h.nginx, "-p", dir, "-c", conf, "-e", filepath.Join(dir, "error.log"))
	cmd.Env = append(os.Environ(), plainCopies)
	process, err := startProcess(cmd, dedicatedCPU)
	if err != nil {
		return 0, err
	}
	defer process.stop()
	if err := process.waitForPort(ctx, port, logFile); err != nil {
		return 0, err
	}
	report, err := testbed.Load{URL: "http://" + loopback(port) + "/", Host: c.host, Header: kind.header, Requests: requests}.Run(ctx)
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
func configForOneProcess(c *candidate, kind kind, dir string, port int) (string, error) {
	from := c.conf
	if kind.behind && c.behind != "" {
		from = c.behind
	}
	text, err := os.ReadFile(from)
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

// renderBehindControllers writes the config that the proxy would have in a cluster, and
// gives its file.
func (h *harness) renderBehindControllers(ctx context.Context, p *proxyProcess) (string, error) {
	dir, err := h.folder()
	if err != nil {
		return "", err
	}
	version, err := exec.CommandContext(ctx, h.nginx, "-v").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s -v: %w", h.nginx, err)
	}
	number := strings.TrimSpace(string(version[bytes.LastIndexByte(version, '/')+1:]))
	out, err := exec.CommandContext(ctx, h.proxy, "render", p.file(), "--behind-controllers", "--dir", dir, "--nginx-version", number,
		"--runtime-dir", p.runtimeDir(), "--listen", loopback(p.port), "--listen-new", loopback(p.portNew)).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("render: %w: %s", err, out)
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := p.copyPCREJIT(file); err != nil {
		return "", err
	}
	return file, p.markServing(file)
}

// copyPCREJIT adds the directive that render, which has no nginx to ask, does not write.
func (p *proxyProcess) copyPCREJIT(conf string) error {
	const directive = "pcre_jit on;\n"
	running, err := os.ReadFile(p.conf())
	if err != nil || !bytes.Contains(running, []byte(directive)) {
		return err
	}
	text, err := os.ReadFile(conf)
	if err != nil {
		return err
	}
	return os.WriteFile(conf, append([]byte(directive), text...), 0o600)
}

var servingFile = regexp.MustCompile(`/serving/\w+`)

// markServing makes the file without which nginx before 1.27.4 ends each connection.
func (p *proxyProcess) markServing(conf string) error {
	text, err := os.ReadFile(conf)
	if err != nil {
		return err
	}
	if name := servingFile.Find(text); name != nil {
		return os.WriteFile(p.runtimeDir()+string(name), nil, 0o644)
	}
	return nil
}
