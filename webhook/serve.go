package webhook

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// Who calls is not known, so nobody may hold a connection for long, nor send
// much: the API server takes objects of up to 3 MiB, and sends two.
const (
	bodyTime = 5 * time.Second
	bodySize = 7 << 20

	usualSize = 64 << 10 // is believed before it has come

	// All bodies together: reading them takes several times as much, and the
	// container, with the watcher in it, has 512 MiB.
	bodiesSize = 4 * bodySize
)

var reviewType = metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"}

// ServeHTTP answers an AdmissionReview of version v1, the only one that our
// registration admits. controller-runtime's own handler reads every request
// twice, to find its version first, and that takes longer than we need to
// decide.
func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	free, err := h.room.take(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer free()
	request, err := readReview(w, r)
	if err != nil {
		h.log.Warn("A request that is no admission review", "kind", h.kind, "problem", err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	response := h.Handle(r.Context(), *request)
	if err := response.Complete(*request); err != nil { // fills in what the API server expects
		h.log.Error("Admission answer cannot be completed", "kind", h.kind, "error", err)
	}
	answer, err := json.Marshal(admissionv1.AdmissionReview{TypeMeta: reviewType, Response: &response.AdmissionResponse})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answer) // an API server that is gone asks again
}

// room is what all requests share.
type room struct{ bytes *semaphore.Weighted }

// take waits for room for the request's body; free gives it back.
func (o room) take(r *http.Request) (free func(), err error) {
	size := r.ContentLength
	if size < 0 || size > bodySize {
		size = bodySize // it does not say, or is refused after that much
	}
	if err := o.bytes.Acquire(r.Context(), size); err != nil {
		return nil, fmt.Errorf("wait for other requests: %w", err)
	}
	return func() { o.bytes.Release(size) }, nil
}

func readReview(w http.ResponseWriter, r *http.Request) (*admission.Request, error) {
	// Not to be had from every writer; then the server's own limits hold.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
	body := bytes.NewBuffer(make([]byte, 0, min(max(r.ContentLength, 0), usualSize)+bytes.MinRead))
	if _, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, bodySize)); err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(body.Bytes(), &review); err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	if review.TypeMeta != reviewType || review.Request == nil {
		return nil, errors.New("the request is no AdmissionReview of " + reviewType.APIVersion)
	}
	return &admission.Request{AdmissionRequest: *review.Request}, nil
}
