package webhook

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

const (
	// bodyTimeout is the time to read a body. The client is not authenticated, so
	// it must not hold a connection for long.
	bodyTimeout = 5 * time.Second

	// maxPreallocated bytes are allocated on the word of Content-Length.
	maxPreallocated = 64 << 10
)

var reviewType = metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"}

// ServeHTTP answers an AdmissionReview of version v1, the only version that
// Configurations registers. It takes the place of controller-runtime's
// admission.Webhook, which decodes every request twice, first to find its
// version: docs/adr/0010-admission.md has the measurement.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	release, err := h.budget.acquire(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer release()
	request, err := readReview(w, r)
	if err != nil {
		h.log.Warn("request is not an admission review", "kind", h.kind, "error", err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	response := h.Handle(r.Context(), *request)
	if err := response.Complete(*request); err != nil { // sets UID, code and patch type
		h.log.Error("admission response not complete", "kind", h.kind, "error", err)
	}
	review, err := json.Marshal(admissionv1.AdmissionReview{TypeMeta: reviewType, Response: &response.AdmissionResponse})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(review) // the API server repeats the call if the connection breaks
}

func readReview(w http.ResponseWriter, r *http.Request) (*admission.Request, error) {
	// A writer without deadlines returns an error; then the limits of the server hold.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	body := bytes.NewBuffer(make([]byte, 0, min(max(r.ContentLength, 0), maxPreallocated)+bytes.MinRead))
	if _, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, maxBodyBytes)); err != nil {
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
