package browser

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// timeout is how long a test waits for anything: the machine may be busy.
const timeout = 60 * time.Second

func chromium() (string, error) {
	if chosen := os.Getenv("MIGRATION_PROXY_CHROMIUM"); chosen != "" {
		return chosen, nil
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("chromium is missing, so the page is not tested: apt-get install chromium, or set MIGRATION_PROXY_CHROMIUM=/path/to/chromium")
}

// tab is a tab of a browser of its own, and what went wrong in it.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	wrong    []string        // messages of the console, exceptions, failed loads
	expected bool            // what goes wrong now is meant to
	hosts    map[string]bool // that were asked
}

// browser is the one browser of all tests. Names of a foreign website lead to this
// machine, as after DNS rebinding.
var browser = sync.OnceValues(func() (context.Context, error) {
	program, err := chromium()
	if err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1360, 850),
		chromedp.Flag("host-resolver-rules", "MAP evil.example 127.0.0.1"), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.WSURLReadTimeout(timeout),
	)
	allocator, endAll := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, _ := chromedp.NewContext(allocator)
	end = func() {
		_ = chromedp.Cancel(ctx) // waits for the process
		endAll()
	}
	return ctx, chromedp.Do(ctx)
})

// end ends the browser, if there is one.
var end = func() {}

func TestMain(m *testing.M) {
	code := m.Run()
	end()
	os.Exit(code)
}

// newTab opens a tab. At the end of the test, nothing may have gone wrong in it.
func newTab(t *testing.T) *tab {
	t.Helper()
	running, err := browser()
	require.NoError(t, err)
	ctx, closeTab := chromedp.NewContext(running)
	t.Cleanup(closeTab)
	one := &tab{t: t, ctx: ctx, hosts: map[string]bool{}}
	require.NoError(t, chromedp.Listen(ctx, one.hear))
	call(one, log.Enable, cdp.Empty{})
	call(one, network.Enable, network.EnableParams{})
	call(one, runtime.Enable, cdp.Empty{})
	t.Cleanup(one.checkNothingWrong)
	return one
}

func (b *tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		b.add(e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning, e.Entry.Text+" "+e.Entry.URL)
	case *runtime.EventExceptionThrown:
		b.add(true, fmt.Sprint(e.ExceptionDetails.Text))
	case *runtime.EventConsoleAPICalled:
		b.add(e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning, fmt.Sprint("console: ", e.Args))
	case *network.EventRequestWillBeSent:
		if asked, err := url.Parse(e.Request.URL); err == nil && asked.Scheme != "data" {
			b.hosts[asked.Host] = true
		}
	}
}

func (b *tab) add(isWrong bool, text string) {
	if isWrong && !b.expected {
		b.wrong = append(b.wrong, text)
	}
}

// expect says that from now on loads fail, and that this is meant.
func (b *tab) expect(failures bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = failures
}

func (b *tab) checkNothingWrong() {
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Empty(b.t, b.wrong, "the console")
	require.LessOrEqual(b.t, len(b.hosts), 1, "the page asked others: %v", b.hosts)
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, timeout)
	defer cancel()
	require.NoError(b.t, chromedp.Do(ctx, actions...))
}

// call sends a command of the protocol.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, timeout)
	defer cancel()
	result, err := chromedp.Call(ctx, command, params)
	require.NoError(b.t, err)
	return result
}

// get is the value of an expression in the page.
func get[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, timeout)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	require.NoError(b.t, err, expression)
	return value
}

func (b *tab) open(address string) {
	b.t.Helper()
	b.do(chromedp.Navigate(address))
}

// await waits until an expression is true.
func (b *tab) await(expression string) {
	b.t.Helper()
	deadline := time.Now().Add(timeout)
	for !get[bool](b, expression) {
		if time.Now().After(deadline) {
			b.t.Fatalf("never true: %s; the page says: %s", expression, get[string](b, "document.body.innerText.slice(0, 1500)"))
		}
		time.Sleep(30 * time.Millisecond)
	}
}

func (b *tab) awaitLive() {
	b.t.Helper()
	b.await(`document.querySelector('#conn')?.textContent === 'Live'`)
}

func quoted(text string) string { return "`" + strings.ReplaceAll(text, "`", "\\`") + "`" }
