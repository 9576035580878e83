package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// page PATTERN PATH: the command ui serves a page that matches, 20 s at most. Nobody gets
// it without the secret in its address, or by a foreign name.
func pageUp(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: page PATTERN PATH")
	}
	cmd := exec.Command("migration-proxy", "ui")
	cmd.Env = append(cmd.Environ(), "KUBECONFIG="+ts.Getenv("KUBECONFIG"), "MIGRATION_PROXY_NAMESPACE="+ts.Getenv("NAMESPACE"))
	output, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ts.Defer(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // ended by the signal
	})
	line, err := bufio.NewReader(output).ReadString('\n')
	ts.Check(err)
	address := strings.TrimSpace(line)
	pattern := regexp.MustCompile(args[0])
	body := ""
	if !poll(context.Background(), 20*time.Second, func() bool {
		_, body = getPage(ts, address+args[1], "")
		return pattern.MatchString(body)
	}) {
		ts.Fatalf("%s: no %q in:\n%s", args[1], pattern, body)
	}
	if code, _ := getPage(ts, address+args[1], "evil.example"); code != http.StatusMisdirectedRequest {
		ts.Fatalf("a foreign Host gets %d", code)
	}
	root := address[:strings.LastIndex(strings.TrimSuffix(address, "/"), "/")]
	if code, body := getPage(ts, root+"/", ""); code != http.StatusNotFound {
		ts.Fatalf("without the secret: %d %s", code, body)
	}
}

func getPage(ts *testscript.TestScript, address, host string) (int, string) {
	request, err := http.NewRequest(http.MethodGet, address, nil)
	ts.Check(err)
	request.Host = host
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	ts.Check(err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	ts.Check(err)
	return response.StatusCode, string(body)
}
