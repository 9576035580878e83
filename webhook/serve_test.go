package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/migration-proxy/migration-proxy/internal/connections"
)

// endpoint is a webhook server with a client that behaves like the API server: it
// calls Services by HTTP/1.1.
type endpoint struct {
	url    string
	client *http.Client
}

func newEndpoint(t testing.TB, register func(ctrlwebhook.Server)) *endpoint {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	address, ca := listen(ctx, t, &running, register)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(ca))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(transport.CloseIdleConnections)
	return &endpoint{"https://" + address, &http.Client{Transport: transport, Timeout: 10 * time.Second}}
}

// post sends a request, and gives the body of the response.
func (e *endpoint) post(path string, body []byte) ([]byte, error) {
	response, err := e.client.Post(e.url+path, "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	return io.ReadAll(response.Body)
}

// review encodes the AdmissionReview of an object that is created, or that replaces
// the stored one.
func review(object []byte, stored ...[]byte) []byte {
	request := &admissionv1.AdmissionRequest{
		UID: types.UID("1"), Operation: admissionv1.Create, Namespace: "shop", Name: "api",
		Object: runtime.RawExtension{Raw: object},
	}
	if len(stored) > 0 {
		request.Operation, request.OldObject.Raw = admissionv1.Update, stored[0]
	}
	text, _ := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: request,
	})
	return text
}

func (e *endpoint) admit(t *testing.T, path string, object []byte, stored ...[]byte) *admissionv1.AdmissionResponse {
	t.Helper()
	body, err := e.post(path, review(object, stored...))
	require.NoError(t, err)
	var reviewed admissionv1.AdmissionReview
	require.NoError(t, json.Unmarshal(body, &reviewed))
	return reviewed.Response
}

// TestUnknownFieldsSurvive: fields that the API types do not have stay at every
// level of an Ingress that a user applies over the rewritten one.
func TestUnknownFieldsSurvive(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, New(Options{Cache: syncedCache(), Log: quiet}).Register)
	object := []byte(`{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","futureTop":1,` +
		`"metadata":{"name":"api","futureMeta":{"a":1},"annotations":{"migration-proxy.io/enabled":"true"}},` +
		`"spec":{"futureSpec":[1,2],"rules":[{"host":"api.example.com","futureRule":true,"http":{"futureHTTP":"x","paths":[` +
		`{"path":"/","pathType":"Prefix","futurePath":{"b":[]},"backend":{"futureBackend":1,"service":{"name":"web","futureService":null,"port":{"number":80,"futurePort":9}}}}]}}]}}`)
	stored := bytes.Replace(object, []byte(`"name":"web"`), []byte(`"name":"`+proxyOf(80)+`"`), 1)
	response := e.admit(t, PathIngress, object, stored)
	require.True(t, response.Allowed)
	require.Equal(t, admissionv1.PatchTypeJSONPatch, *response.PatchType)
	patch, err := jsonpatch.DecodePatch(response.Patch)
	require.NoError(t, err)
	edited, err := patch.Apply(object)
	require.NoError(t, err)
	require.Contains(t, string(edited), `"name":"`+proxyOf(80)+`"`)
	for _, field := range []string{"futureTop", "futureMeta", "futureSpec", "futureRule", "futureHTTP", "futurePath", "futureBackend", "futureService", "futurePort"} {
		require.Equal(t, 1, strings.Count(string(edited), `"`+field+`"`), "%s in %s", field, edited)
	}
}

// TestBadRequests: a request that is no AdmissionReview of version v1 is answered
// 400 Bad Request.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, New(Options{Cache: syncedCache(), Log: quiet}).Register)
	huge := review([]byte(`{"metadata":{"annotations":{"a":"` + strings.Repeat("x", 8<<20) + `"}}}`))
	for name, body := range map[string][]byte{
		"empty": nil, "not JSON": []byte("{"), "no review": []byte(`{"kind":"Pod"}`), "too large": huge,
		"another version": bytes.Replace(review([]byte("{}")), []byte("k8s.io/v1"), []byte("k8s.io/v2"), 1),
		"no request":      []byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}`),
	} {
		response, err := e.client.Post(e.url+PathIngress, "application/json", bytes.NewReader(body))
		require.NoError(t, err, name)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusBadRequest, response.StatusCode, name)
	}
}

// TestBodyBudget: bytes count when they arrive. When the budget is used up, the largest body
// of the address that holds the most gives way.
func TestBodyBudget(t *testing.T) {
	t.Parallel()
	budget, a, b := newBodyBudget(100), connections.PeerOf("10.0.0.1:1"), connections.PeerOf("10.0.0.2:1")
	var gaveUp []string
	open := func(peer netip.Addr, name string) *heldBody {
		return budget.open(peer, func() { gaveUp = append(gaveUp, name) })
	}
	small, large := open(a, "small"), open(a, "large")
	require.NoError(t, small.grow(30))
	require.NoError(t, large.grow(60))
	other := open(b, "other")
	require.NoError(t, other.grow(10))
	require.NoError(t, other.grow(10))
	require.Equal(t, []string{"large"}, gaveUp)
	require.ErrorIs(t, large.grow(1), errBudget)
	require.ErrorIs(t, large.keep(), errBudget)
	large.close()

	require.ErrorIs(t, small.grow(100), errBudget, "it would hold the most itself")
	small.close()
	require.NoError(t, other.grow(80))
	require.NoError(t, other.keep())
	last := open(a, "last")
	require.ErrorIs(t, last.grow(1), errBudget, "what is being decided does not give way")
	other.close()
	last.close()
	require.Equal(t, 100, budget.free)
	require.Empty(t, budget.held)
	require.Empty(t, budget.bodies)
}

// TestTurns: the next turn is that of the address whose decisions took the least time,
// whatever the number of its requests.
func TestTurns(t *testing.T) {
	t.Parallel()
	turns, a, b := newTurns(1), connections.PeerOf("10.0.0.1:1"), connections.PeerOf("10.0.0.2:1")
	require.NoError(t, turns.wait(t.Context(), a))
	enqueue := func(peer netip.Addr) chan struct{} {
		turn, err := turns.enqueue(peer)
		require.NoError(t, err)
		return turn
	}
	var queue []chan struct{}
	for range maxWaiting {
		queue = append(queue, enqueue(a))
	}
	_, err := turns.enqueue(a)
	require.ErrorIs(t, err, errBudget)
	others := []chan struct{}{enqueue(b), enqueue(b)}

	came := func(turn chan struct{}) bool {
		select {
		case <-turn:
			return true
		default:
			return false
		}
	}
	since := func(taken time.Duration) time.Time { return time.Now().Add(-taken) }
	turns.done(a, since(time.Second))
	require.True(t, came(others[0]), "b waits for one of a, not for all")
	turns.done(b, since(time.Millisecond))
	require.True(t, came(others[1]), "b has used less")
	require.False(t, came(queue[0]))
	turns.done(b, since(10*time.Second))
	require.True(t, came(queue[0]))

	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, turns.wait(canceled, b), context.Canceled)
	turns.leave(a, queue[1])
	turns.done(a, since(0))
	require.True(t, came(queue[2]))
	turns.leave(a, queue[2]) // too late: its turn goes to the next
	require.True(t, came(queue[3]))
}

// TestTurnsForgetWhoCameOnce: anybody can come from many addresses.
func TestTurnsForgetWhoCameOnce(t *testing.T) {
	t.Parallel()
	turns := newTurns(1)
	for i := range 255 {
		peer := connections.PeerOf(fmt.Sprintf("10.0.0.%d:1", i))
		require.NoError(t, turns.wait(t.Context(), peer))
		turns.done(peer, time.Now())
	}
	turns.halve()
	require.Empty(t, turns.used)
}
