package testbed_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/stretchr/testify/require"
)

func start(t *testing.T, options testbed.Options) *testbed.Backend {
	t.Helper()
	backend, err := testbed.Start(options)
	require.NoError(t, err)
	t.Cleanup(backend.Kill)
	return backend
}

// client does not follow redirects, decompress or keep connections.
func client(t *testing.T, config *tls.Config) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: config, DisableCompression: true, DisableKeepAlives: true}
	return &http.Client{
		Transport:     transport,
		Timeout:       5 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	response, err := client(t, nil).Get(url)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, string(body)
}

func decode(t *testing.T, body io.Reader) testbed.Echo {
	t.Helper()
	var echo testbed.Echo
	require.NoError(t, json.NewDecoder(body).Decode(&echo))
	return echo
}

func TestKillAndRevive(t *testing.T) {
	t.Parallel()
	backend := start(t, testbed.Options{Name: "old"})
	idle, err := net.Dial("tcp", backend.Addr())
	require.NoError(t, err)
	defer idle.Close()
	_, err = io.WriteString(idle, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	require.NoError(t, err)
	_, err = idle.Read(make([]byte, 1))
	require.NoError(t, err, "the connection is served before the kill")

	backend.Kill()
	require.NoError(t, idle.SetReadDeadline(time.Now().Add(5*time.Second)))
	_, err = io.Copy(io.Discard, idle)
	var timeout net.Error
	require.False(t, errors.As(err, &timeout) && timeout.Timeout(), "a kill closes idle connections")
	_, err = net.Dial("tcp", backend.Addr())
	require.ErrorContains(t, err, "refused")

	backend.Kill() // twice does nothing
	require.NoError(t, backend.Revive())
	require.NoError(t, backend.Revive())
	_, body := get(t, backend.URL())
	require.Contains(t, body, `"backend":"old"`)
	require.Equal(t, 2, backend.Total(), "the count from before the kill stays")
}

func TestRequestsAreRecorded(t *testing.T) {
	t.Parallel()
	backend := start(t, testbed.Options{Name: "old"})
	for _, id := range []string{"a", "a", "b"} {
		request, err := http.NewRequest(http.MethodPost, backend.URL()+"/x%2Fy?", nil)
		require.NoError(t, err)
		request.Host = "api.example.com"
		request.Header.Set(testbed.IDHeader, id)
		response, err := client(t, nil).Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
	}
	require.Equal(t, 2, backend.Count("POST", "/x/y", "a"))
	require.Equal(t, 1, backend.Count("POST", "/x/y", "b"))
	require.Zero(t, backend.Count("GET", "/x/y", "a"))
	requests := backend.Requests()
	require.Len(t, requests, 3)
	require.Equal(t, "/x%2Fy?", requests[0].Target)
	require.Equal(t, "api.example.com", requests[0].Host)
	require.Equal(t, "b", requests[2].ID, "oldest first")
	backend.Reset()
	require.Zero(t, backend.Total())
	require.Empty(t, backend.Requests())
}

func TestRemembersTheLastThousand(t *testing.T) {
	t.Parallel()
	backend := start(t, testbed.Options{})
	report, err := testbed.Load{URL: backend.URL(), ID: "n", Requests: 1003}.Run(t.Context())
	require.NoError(t, err)
	require.Zero(t, report.Lost(), report.Errors)
	requests := backend.Requests()
	require.Len(t, requests, 1000)
	require.Equal(t, "n-4", requests[0].ID)
	require.Equal(t, "n-1003", requests[999].ID)
	require.Equal(t, 1003, backend.Total())
}

func TestHostAndSNIAreRequired(t *testing.T) {
	t.Parallel()
	authority, err := testbed.NewAuthority()
	require.NoError(t, err)
	certificate, err := authority.Server("new.example.com", "other.example.com")
	require.NoError(t, err)
	backend := start(t, testbed.Options{Name: "new", Certificate: certificate, Hosts: []string{"new.example.com"}})

	ask := func(host, sni string) (*http.Response, error) {
		request, err := http.NewRequest(http.MethodGet, backend.URL(), nil)
		require.NoError(t, err)
		request.Host = host
		return client(t, &tls.Config{RootCAs: authority.Pool(), ServerName: sni}).Do(request)
	}
	response, err := ask("new.example.com:443", "new.example.com")
	require.NoError(t, err)
	defer response.Body.Close()
	echo := decode(t, response.Body)
	require.Equal(t, "new.example.com", echo.SNI)
	require.Equal(t, "HTTP/1.1", echo.Proto)

	response, err = ask("other.example.com", "new.example.com")
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusMisdirectedRequest, response.StatusCode)
	_, err = ask("new.example.com", "other.example.com")
	require.Error(t, err, "the handshake must fail")
}

func TestClientCertificateIsRequired(t *testing.T) {
	t.Parallel()
	authority, err := testbed.NewAuthority()
	require.NoError(t, err)
	server, err := authority.Server("localhost", "127.0.0.1")
	require.NoError(t, err)
	proxy, err := authority.Client("proxy")
	require.NoError(t, err)
	backend := start(t, testbed.Options{Certificate: server, ClientCAs: authority.Pool()})

	_, err = client(t, &tls.Config{RootCAs: authority.Pool()}).Get(backend.URL())
	require.Error(t, err)
	_, err = client(t, &tls.Config{RootCAs: authority.Pool(), Certificates: []tls.Certificate{*server}}).Get(backend.URL())
	require.Error(t, err, "a server certificate is not a client's")
	response, err := client(t, &tls.Config{RootCAs: authority.Pool(), Certificates: []tls.Certificate{*proxy}}).Get(backend.URL())
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, "proxy", decode(t, response.Body).Client)
}

func TestOtherAuthorityIsNotTrusted(t *testing.T) {
	t.Parallel()
	authority, err := testbed.NewAuthority()
	require.NoError(t, err)
	otherAuthority, err := testbed.NewAuthority()
	require.NoError(t, err)
	certificate, err := otherAuthority.Server("127.0.0.1")
	require.NoError(t, err)
	backend := start(t, testbed.Options{Certificate: certificate})
	_, err = client(t, &tls.Config{RootCAs: authority.Pool()}).Get(backend.URL())
	var unknown x509.UnknownAuthorityError
	require.ErrorAs(t, err, &unknown)
}

func TestCertificateFiles(t *testing.T) {
	t.Parallel()
	authority, err := testbed.NewAuthority()
	require.NoError(t, err)
	certificate, err := authority.Client("proxy")
	require.NoError(t, err)
	dir := t.TempDir()
	caFile, err := authority.WriteCA(dir)
	require.NoError(t, err)
	certFile, keyFile, err := testbed.WritePair(dir, "proxy", certificate)
	require.NoError(t, err)

	read, err := tls.LoadX509KeyPair(certFile, keyFile)
	require.NoError(t, err)
	require.Equal(t, certificate.Certificate, read.Certificate)
	text, err := os.ReadFile(caFile)
	require.NoError(t, err)
	require.True(t, x509.NewCertPool().AppendCertsFromPEM(text))
	info, err := os.Stat(keyFile)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	_, err = authority.Server()
	require.Error(t, err, "a server needs a name")
}

func TestFreePort(t *testing.T) {
	t.Parallel()
	seen := map[int]bool{}
	for range 200 {
		port, err := testbed.FreePort()
		require.NoError(t, err)
		require.False(t, seen[port], "port %d was given twice", port)
		require.Less(t, port, 32768)
		seen[port] = true
	}
}

// TestFreePortOfAnotherProcess: two processes that take ports at the same time never get
// the same, although neither listens.
func TestFreePortOfAnotherProcess(t *testing.T) {
	t.Parallel()
	const variable, number = "TESTBED_TEST_PORTS", 1920
	own := map[string]bool{}
	for range number {
		port, err := testbed.FreePort()
		require.NoError(t, err)
		own[strconv.Itoa(port)] = true
	}
	if os.Getenv(variable) != "" {
		fmt.Println(slices.Sorted(maps.Keys(own)))
		return
	}
	program, err := os.Executable()
	require.NoError(t, err)
	other := exec.Command(program, "-test.run=^TestFreePortOfAnotherProcess$")
	other.Env = append(os.Environ(), variable+"=yes")
	output, err := other.Output()
	require.NoError(t, err)
	theirs := regexp.MustCompile(`\d{5}`).FindAllString(string(output), -1)
	require.Len(t, theirs, number)
	for _, port := range theirs {
		require.False(t, own[port], "port %s", port)
	}
}
