package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/migration-proxy/migration-proxy/internal/connections"
)

// A body must arrive within bodyTimeout and the time that its bytes take at minBodyRate: the
// client is not authenticated, so it must not hold a connection for long.
const (
	bodyTimeout = time.Second
	minBodyRate = 4 << 20 // bytes a second
	chunkBytes  = 64 << 10
)

var reviewType = metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"}

// ServeHTTP answers an AdmissionReview of version v1, the only version that
// Configurations registers. It takes the place of controller-runtime's
// admission.Webhook, which decodes every request twice, first to find its
// version: docs/adr/0010-admission.md has the measurement.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	controller, peer := http.NewResponseController(w), connections.PeerOf(r.RemoteAddr)
	held := h.budget.open(peer, func() {
		cancel()
		_ = controller.SetReadDeadline(time.Now())
	})
	defer held.close()
	text, err := readBody(http.MaxBytesReader(w, r.Body, maxBodyBytes), controller, held)
	if err != nil {
		h.refuse(w, err)
		return
	}
	if err := h.turns.wait(ctx, peer); err != nil {
		h.refuse(w, fmt.Errorf("%w: %w", errBudget, err))
		return
	}
	defer h.turns.done(peer, time.Now())
	if err := held.keep(); err != nil {
		h.refuse(w, err)
		return
	}
	h.answer(r.Context(), w, text)
}

// refuse answers a request that is not decided.
func (h *handler) refuse(w http.ResponseWriter, err error) {
	code := http.StatusBadRequest
	if errors.Is(err, errBudget) {
		code = http.StatusTooManyRequests
	}
	h.log.Debug("request not decided", "kind", h.kind, "error", err)
	http.Error(w, err.Error(), code)
}

func (h *handler) answer(ctx context.Context, w http.ResponseWriter, text []byte) {
	request, err := decodeReview(text)
	if err != nil {
		h.refuse(w, err)
		return
	}
	response := h.Handle(ctx, *request)
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

// readBody reads as fast as minBodyRate, and counts the bytes when they have arrived.
func readBody(body io.Reader, controller *http.ResponseController, held *heldBody) ([]byte, error) {
	start, chunk := time.Now(), make([]byte, chunkBytes)
	var text []byte
	for {
		allowed := bodyTimeout + time.Duration(len(text))*time.Second/minBodyRate
		// A writer without deadlines returns an error; then the limits of the server hold.
		_ = controller.SetReadDeadline(start.Add(allowed))
		n, err := body.Read(chunk)
		if budgetErr := held.grow(n); budgetErr != nil {
			return nil, budgetErr
		}
		text = append(text, chunk[:n]...)
		switch {
		case errors.Is(err, io.EOF):
			return text, nil
		case err != nil:
			return nil, fmt.Errorf("read the request: %w", err)
		}
	}
}

func decodeReview(text []byte) (*admission.Request, error) {
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(text, &review); err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	if review.TypeMeta != reviewType || review.Request == nil {
		return nil, errors.New("the request is no AdmissionReview of " + reviewType.APIVersion)
	}
	return &admission.Request{AdmissionRequest: *review.Request}, nil
}
