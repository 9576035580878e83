package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
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

// TestBodyBudget: the bodies of all requests together are limited.
func TestBodyBudget(t *testing.T) {
	t.Parallel()
	budget := newBodyBudget(totalBodyBytes)
	request := func(ctx context.Context, size int64) *http.Request {
		r, err := http.NewRequestWithContext(ctx, "POST", "/", nil)
		require.NoError(t, err)
		r.ContentLength = size
		return r
	}
	var release func()
	for _, size := range []int64{maxBodyBytes, -1, 100 * maxBodyBytes, maxBodyBytes - 1000} {
		var err error
		release, err = budget.acquire(request(t.Context(), size))
		require.NoError(t, err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := budget.acquire(request(canceled, 2000))
	require.ErrorIs(t, err, context.Canceled)
	_, err = budget.acquire(request(t.Context(), 1000))
	require.NoError(t, err, "1000 bytes are left")
	release()
	_, err = budget.acquire(request(t.Context(), 2000))
	require.NoError(t, err)
}
