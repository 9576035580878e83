package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/migration-proxy/migration-proxy/internal/proxyclient"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

func TestMain(m *testing.M) {
	testscript.Main(withControlPlane{m}, map[string]func(){
		"migration-proxy": main, "kubectl-migration": main, "kubectl_complete-migration": main,
	})
}

var words = map[string]func(*testscript.TestScript, bool, []string){
	"exits": exits, "await": await, "backends": backendsUp, "asked": asked, "answers": answers, "kill-new": killNew, "hang": hang, "mode": mode,
}

// TestScripts runs testdata/*.txtar: what a user types, what they see, and
// the exit code. A script may use testscript's own words, and these:
//
//	exits CODE COMMAND...          the command ends with exactly this code
//	await PATTERN COMMAND...       run it until its output matches, 20 s at most
//	backends                       start two; $OLD and $NEW are their addresses
//	asked OLD|NEW [NAME=VALUE]     this side answers a request with that header
//	answers PATTERN PATH           so does the proxy's HTTP API, 5 s at most
//	kill-new                       the new backend is no more
//	hang                           old has a request and does not answer it
//	mode PERMISSIONS FILE          the file's mode is this
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		Setup:               prepare,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                words,
	})
}

// prepare gives each script its own ports, by the environment variables that
// users would set, and a short runtime directory that nginx's workers can
// read.
func prepare(env *testscript.Env) error {
	dir, err := os.MkdirTemp("", "mp")
	if err != nil {
		return err
	}
	env.Defer(func() {
		endNginx(dir + "/run")
		_ = os.RemoveAll(dir)
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	env.Setenv("MIGRATION_PROXY_RUNTIME_DIR", dir+"/run")
	for _, name := range []string{environmentPrefix + "LISTEN", environmentPrefix + "LISTEN_NEW", environmentPrefix + "HTTP", "SPARE"} {
		port, err := testbed.FreePort()
		if err != nil {
			return err
		}
		env.Setenv(name, fmt.Sprintf("127.0.0.1:%d", port))
	}
	return nil
}

// endNginx ends the nginx that outlives a killed agent when a script fails
// before the next one takes it over.
func endNginx(runtimeDir string) {
	text, err := os.ReadFile(runtimeDir + "/nginx.pid")
	if err != nil {
		return // ended, and took its file along
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
		_ = syscall.Kill(pid, syscall.SIGTERM) // it may have been killed too
	}
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: await PATTERN COMMAND...")
	}
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		_ = ts.Exec(args[1], args[2:]...) // its output tells
		output := ts.ReadFile("stdout") + ts.ReadFile("stderr")
		if pattern.MatchString(output) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no %q in:\n%s", pattern, output)
		}
	}
}

const newKey = "NEW"

// running are the backends of all scripts, by their address.
var running sync.Map

func backendsUp(ts *testscript.TestScript, _ bool, _ []string) {
	for _, name := range []string{"OLD", newKey} {
		backend, err := testbed.Start(testbed.Options{Name: strings.ToLower(name)})
		ts.Check(err)
		ts.Defer(backend.Kill)
		ts.Setenv(name, backend.Addr())
		running.Store(backend.Addr(), backend)
	}
}

func backend(ts *testscript.TestScript, key string) *testbed.Backend {
	found, ok := running.Load(ts.Getenv(key))
	if !ok {
		ts.Fatalf("backends comes first")
	}
	return found.(*testbed.Backend)
}

func killNew(ts *testscript.TestScript, _ bool, _ []string) { backend(ts, newKey).Kill() }

func hang(ts *testscript.TestScript, _ bool, _ []string) {
	const path = "/do/hang"
	request, err := http.NewRequest(http.MethodGet, "http://"+ts.Getenv(environmentPrefix+"LISTEN")+path, nil)
	ts.Check(err)
	request.Host = "shop.example.com"
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if response, err := http.DefaultTransport.RoundTrip(request); err == nil {
			_ = response.Body.Close() // how it ends does not matter
		}
	}()
	ts.Defer(func() { <-ended })
	old := backend(ts, "OLD")
	for deadline := time.Now().Add(10 * time.Second); old.Count(http.MethodGet, path, "") == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("old got no request")
		}
	}
}

func asked(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: asked OLD|NEW [NAME=VALUE]")
	}
	request, err := http.NewRequest(http.MethodGet, "http://"+ts.Getenv(environmentPrefix+"LISTEN")+"/", nil)
	ts.Check(err)
	request.Host = "shop.example.com"
	for _, header := range args[1:] {
		name, value, _ := strings.Cut(header, "=")
		request.Header.Set(name, value)
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	ts.Check(err)
	ts.Check(response.Body.Close())
	if got := response.Header.Get(testbed.BackendHeader); got != strings.ToLower(args[0]) {
		ts.Fatalf("%s from %q, want it from %s", response.Status, got, args[0])
	}
}

func answers(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: answers PATTERN PATH")
	}
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	client := proxyclient.New()
	var text []byte
	if !poll(context.Background(), 5*time.Second, func() bool {
		text, err = client.Get(context.Background(), ts.Getenv(environmentPrefix+"HTTP"), args[1])
		return err == nil && pattern.Match(text)
	}) {
		ts.Fatalf("%s: no %q in: %v %s", args[1], pattern, err, text)
	}
}

func mode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%o", info.Mode().Perm()); got != args[0] {
		ts.Fatalf("mode of %s is %s, want %s", args[1], got, args[0])
	}
}
