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
	"golang.org/x/sync/semaphore"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"
)

// endpoint is a webhook server and a client of it, as the API server is one:
// it asks Services by HTTP/1.1, so that they share the load.
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

// post asks, and gives the answer's body.
func (e *endpoint) post(path string, body []byte) ([]byte, error) {
	answer, err := e.client.Post(e.url+path, "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	return io.ReadAll(answer.Body)
}

func review(object []byte) []byte {
	text, _ := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: types.UID("1"), Operation: admissionv1.Create, Namespace: "shop", Name: "api",
			Object: runtime.RawExtension{Raw: object},
		},
	})
	return text
}

func (e *endpoint) ask(t *testing.T, path string, object []byte) *admissionv1.AdmissionResponse {
	t.Helper()
	body, err := e.post(path, review(object))
	require.NoError(t, err)
	var answered admissionv1.AdmissionReview
	require.NoError(t, json.Unmarshal(body, &answered))
	return answered.Response
}

// Fields that this program was not built to know stay, wherever they are.
func TestUnknownFieldsSurvive(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, New(Options{View: known(), Log: quiet}).Register)
	object := []byte(`{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","futureTop":1,` +
		`"metadata":{"name":"api","futureMeta":{"a":1},"annotations":{"migration-proxy.io/enabled":"true"}},` +
		`"spec":{"futureSpec":[1,2],"rules":[{"host":"api.example.com","futureRule":true,"http":{"futureHTTP":"x","paths":[` +
		`{"path":"/","pathType":"Prefix","futurePath":{"b":[]},"backend":{"futureBackend":1,"service":{"name":"web","futureService":null,"port":{"number":80,"futurePort":9}}}}]}}]}}`)
	answer := e.ask(t, PathIngress, object)
	require.True(t, answer.Allowed)
	require.Equal(t, admissionv1.PatchTypeJSONPatch, *answer.PatchType)
	patch, err := jsonpatch.DecodePatch(answer.Patch)
	require.NoError(t, err)
	edited, err := patch.Apply(object)
	require.NoError(t, err)
	require.Contains(t, string(edited), `"name":"migration-proxy"`)
	for _, field := range []string{"futureTop", "futureMeta", "futureSpec", "futureRule", "futureHTTP", "futurePath", "futureBackend", "futureService", "futurePort"} {
		require.Equal(t, 1, strings.Count(string(edited), `"`+field+`"`), "%s in %s", field, edited)
	}
}

// Who is not the API server learns nothing and keeps nobody busy.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, New(Options{View: known(), Log: quiet}).Register)
	huge := review([]byte(`{"metadata":{"annotations":{"a":"` + strings.Repeat("x", 8<<20) + `"}}}`))
	for name, body := range map[string][]byte{
		"empty": nil, "not JSON": []byte("{"), "no review": []byte(`{"kind":"Pod"}`), "too large": huge,
		"another version": bytes.Replace(review([]byte("{}")), []byte("k8s.io/v1"), []byte("k8s.io/v2"), 1),
		"no request":      []byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}`),
	} {
		answer, err := e.client.Post(e.url+PathIngress, "application/json", bytes.NewReader(body))
		require.NoError(t, err, name)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, http.StatusBadRequest, answer.StatusCode, name)
	}
}

// What all requests together may take up is bounded, whoever sends them.
func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	shared := room{semaphore.NewWeighted(bodiesSize)}
	request := func(ctx context.Context, size int64) *http.Request {
		r, err := http.NewRequestWithContext(ctx, "POST", "/", nil)
		require.NoError(t, err)
		r.ContentLength = size
		return r
	}
	var free func()
	for _, size := range []int64{bodySize, -1, 100 * bodySize, bodySize - 1000} {
		var err error
		free, err = shared.take(request(t.Context(), size))
		require.NoError(t, err)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	_, err := shared.take(request(gone, 2000))
	require.ErrorIs(t, err, context.Canceled)
	_, err = shared.take(request(t.Context(), 1000))
	require.NoError(t, err, "a small one finds room")
	free()
	_, err = shared.take(request(t.Context(), 2000))
	require.NoError(t, err)
}
