package webhook

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

// childVariable makes the test's program a webhook server, so that its memory can be
// measured alone.
const childVariable = "MIGRATION_PROXY_TEST_WEBHOOK"

// serveAsChild serves until standard input ends. It prints its address.
func serveAsChild() {
	t := &testing.T{}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	address, _ := listen(ctx, t, &running, func(server ctrlwebhook.Server) { New(Options{Cache: syncedCache(), Log: quiet}).Register(server) })
	fmt.Println(address)
	_, _ = io.Copy(io.Discard, os.Stdin)
	cancel()
	running.Wait()
}

// child is a webhook server in a process of its own.
type child struct {
	address string
	pid     int
	attacks *atomic.Int64 // connections that attackers have opened, and requests that they have begun
}

func startChild(t *testing.T) child {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), childVariable+"=1")
	stdin, err := command.StdinPipe()
	require.NoError(t, err)
	stdout, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	t.Cleanup(func() { _ = stdin.Close(); _ = command.Wait() })
	address, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	return child{strings.TrimSpace(address), command.Process.Pid, &atomic.Int64{}}
}

// peakMiB is the largest memory that the process has had.
func (c child) peakMiB(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.pid))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.Atoi(strings.Fields(value)[0])
			require.NoError(t, err)
			return kib / 1024
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

// clientAt is a client with the source address 127.0.0.LAST.
func clientAt(last byte, http2 bool) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, last)}}
	transport := &http.Transport{
		DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: http2,
	}
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

// configReview is the review of an edit of the migration config.
func configReview(text string) []byte {
	raw, _ := json.Marshal(corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: names.ConfigMap}, Data: map[string]string{names.ConfigKey: text}})
	body, _ := json.Marshal(admissionv1.AdmissionReview{TypeMeta: reviewType, Request: &admissionv1.AdmissionRequest{
		UID: "1", Operation: admissionv1.Create, Name: names.ConfigMap, Object: runtime.RawExtension{Raw: raw},
	}})
	return body
}

// edit sends a valid config, as the API server does for an edit, and gives the time until it was allowed.
func edit(t *testing.T, c child) time.Duration {
	t.Helper()
	client := clientAt(1, true)
	defer client.CloseIdleConnections()
	start := time.Now()
	response, err := client.Post("https://"+c.address+PathConfig, "application/json", bytes.NewReader(configReview("services: []\n")))
	require.NoError(t, err)
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode, string(text))
	require.Contains(t, string(text), `"allowed":true`)
	return time.Since(start)
}

// acceptedWithin is the timeout of the config webhook. What it takes is logged.
const acceptedWithin = 5 * time.Second

// Of an attack. Each of the attackers has at least four connections or requests at a time.
const (
	attackers    = 3
	fewestAtOnce = attackers * 4
	fewestEdits  = 8
	lastsAtLeast = 800 * time.Millisecond
)

// TestHostileClients: what anybody who reaches the port can do neither takes the memory that
// the container has, nor keeps an edit of the config waiting.
func TestHostileClients(t *testing.T) {
	t.Parallel()
	for name, attack := range map[string]func(context.Context, child, byte){
		"idle connections":   idleConnections,
		"unfinished headers": unfinishedHeaders,
		"announced bodies":   announcedBodies,
		"many streams":       manyStreams,
		"invalid configs":    invalidConfigs,
		"large texts":        largeTexts,
		"large Ingresses":    largeIngresses,
	} {
		t.Run(name, func(t *testing.T) {
			c := startChild(t)
			edit(t, c)
			ctx, cancel := context.WithCancel(t.Context())
			var attacking sync.WaitGroup
			for i := range byte(attackers) {
				attacking.Go(func() { attack(ctx, c, 2+i) })
			}
			require.Eventually(t, func() bool { return c.attacks.Load() >= fewestAtOnce }, 20*time.Second, time.Millisecond, "the attack begins")
			var slowest time.Duration
			edits := 0
			for began := time.Now(); edits < fewestEdits || time.Since(began) < lastsAtLeast; edits++ {
				slowest = max(slowest, edit(t, c))
			}
			cancel()
			attacking.Wait()
			t.Logf("%s: slowest of %d edits %s, peak memory %d MiB", name, edits, slowest.Round(time.Millisecond), c.peakMiB(t))
			require.Less(t, slowest, acceptedWithin)
			require.Less(t, c.peakMiB(t), 400, "of 512 MiB, which the watcher shares")
		})
	}
}

// holdMany opens connections and holds them, and opens others for those that the server closes.
func holdMany(ctx context.Context, c child, last byte, number int, hold func(context.Context, net.Conn)) {
	var holders sync.WaitGroup
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, last)}}
	for range number {
		holders.Go(func() {
			for ctx.Err() == nil {
				conn, err := dialer.DialContext(ctx, "tcp", c.address)
				if err != nil {
					return
				}
				c.attacks.Add(1)
				stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
				hold(ctx, conn)
				stop()
				_ = conn.Close()
			}
		})
	}
	holders.Wait()
}

func idleConnections(ctx context.Context, c child, last byte) {
	holdMany(ctx, c, last, 300, func(_ context.Context, conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
}

func unfinishedHeaders(ctx context.Context, c child, last byte) {
	holdMany(ctx, c, last, 30, func(_ context.Context, conn net.Conn) {
		secured := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
		_, _ = secured.Write([]byte("POST / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 1<<20)))
		_, _ = io.Copy(io.Discard, secured)
	})
}

func announcedBodies(ctx context.Context, c child, last byte) {
	holdMany(ctx, c, last, 30, func(_ context.Context, conn net.Conn) {
		secured := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
		_, _ = fmt.Fprintf(secured, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", PathConfig, maxBodyBytes)
		_, _ = io.Copy(io.Discard, secured)
	})
}

// flood posts again and again, with a number of requests at a time.
func flood(ctx context.Context, c child, last byte, path string, number int, body func() io.Reader) {
	client := clientAt(last, true)
	defer client.CloseIdleConnections()
	var senders sync.WaitGroup
	for range number {
		senders.Go(func() {
			for ctx.Err() == nil {
				c.attacks.Add(1)
				request, _ := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+c.address+path, body())
				if response, err := client.Do(request); err == nil {
					_, _ = io.Copy(io.Discard, response.Body)
					_ = response.Body.Close()
				}
			}
		})
	}
	senders.Wait()
}

// stalled gives a part of a body, and then nothing.
type stalled struct {
	ctx  context.Context
	rest io.Reader
}

func (s stalled) Read(p []byte) (int, error) {
	if n, err := s.rest.Read(p); err == nil {
		return n, nil
	}
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

func manyStreams(ctx context.Context, c child, last byte) {
	flood(ctx, c, last, PathConfig, 60, func() io.Reader { return stalled{ctx, strings.NewReader(strings.Repeat(" ", 1<<20))} })
}

func invalidConfigs(ctx context.Context, c child, last byte) {
	body := configReview("services:\n" + strings.Repeat("- {namN: x}\n", 85_000))
	flood(ctx, c, last, PathConfig, 4, func() io.Reader { return bytes.NewReader(body) })
}

func largeTexts(ctx context.Context, c child, last byte) {
	body := configReview("services:\n" + strings.Repeat("-\n", 1_500_000))
	flood(ctx, c, last, PathConfig, 4, func() io.Reader { return bytes.NewReader(body) })
}

func largeIngresses(ctx context.Context, c child, last byte) {
	path := `{"path":"/","pathType":"Prefix","backend":{"service":{"name":"web","port":{"number":80}}}},`
	object := `{"metadata":{"name":"a","annotations":{"migration-proxy.io/enabled":"true"}},"spec":{"rules":[{"host":"api.example.com","http":{"paths":[` +
		strings.TrimSuffix(strings.Repeat(path, 3<<20/len(path)), ",") + `]}}]}}`
	body := review([]byte(object))
	flood(ctx, c, last, PathIngress, 4, func() io.Reader { return bytes.NewReader(body) })
}

// TestDrain: a replica that leaves sends the API server to another one, and answers what
// has begun. Nothing is lost, whether the connection is HTTP/1.1 or HTTP/2.
func TestDrain(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("http2 %t", http2), func(t *testing.T) { t.Parallel(); drainWhileServing(t, http2) })
	}
}

func drainWhileServing(t *testing.T, http2 bool) {
	begun, finish := make(chan struct{}, 1), make(chan struct{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := newSlowServer(t, begun, finish)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- server.serve(ctx, listener) }()
	client := &countingClient{Client: clientAt(1, http2), address: listener.Addr().String()}
	defer client.CloseIdleConnections()
	client.Transport.(*http.Transport).DialContext = client.dial
	require.Equal(t, http.StatusOK, client.get(t, "/"))
	require.Equal(t, http.StatusOK, client.get(t, "/"))
	require.EqualValues(t, 1, client.dialed.Load())

	server.Drain()
	require.Equal(t, http.StatusOK, client.get(t, "/"))
	require.EqualValues(t, 1, client.dialed.Load(), "a connection is not closed while a request may be on its way")
	require.Equal(t, http.StatusOK, client.get(t, "/"))
	require.EqualValues(t, 2, client.dialed.Load(), "after an answer the next request goes to a new connection")
	answered := make(chan int, 1)
	go func() { answered <- client.get(t, "/slow") }()
	<-begun
	stop()
	require.Eventually(t, func() bool { // the server is stopping
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}, 10*time.Second, 5*time.Millisecond)
	close(finish)
	require.Equal(t, http.StatusOK, <-answered)
	require.NoError(t, <-ended)
}

// newSlowServer answers /slow when finish is closed.
func newSlowServer(t *testing.T, begun chan<- struct{}, finish <-chan struct{}) *Server {
	pair, _ := newCertificate(t)
	server := NewServer(ServerOptions{Address: "127.0.0.1:0", TLS: &tls.Config{Certificates: []tls.Certificate{*pair}}})
	server.Register("/slow", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		select {
		case <-finish:
		case <-r.Context().Done():
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	server.Register("/", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	return server
}

// countingClient counts its connections to one address.
type countingClient struct {
	*http.Client
	address string
	dialed  atomic.Int32
}

func (c *countingClient) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	c.dialed.Add(1)
	return new(net.Dialer).DialContext(ctx, "tcp", c.address)
}

// get gives the status of a complete answer, 0 for none.
func (c *countingClient) get(t *testing.T, path string) int {
	response, err := c.Get("https://webhook" + path)
	if err != nil {
		t.Error(err)
		return 0
	}
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode * boolToInt(response.Body.Close() == nil)
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
