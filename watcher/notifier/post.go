package notifier

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// maxURLBytes bounds the file of an address.
	maxURLBytes = 8 << 10
	// maxRetryAfter bounds what an address may ask for: the entries behind it wait.
	maxRetryAfter = 30 * time.Second
)

// refusal is why an entry was not sent. Its text has no address.
type refusal struct {
	text  string
	again bool          // the address surely has not taken it
	after time.Duration // and wants to be asked no sooner
}

func (r *refusal) Error() string { return r.text }

// newClient makes a client that follows no redirect, and keeps no connection: one that
// the other side closes in the meantime leaves open whether an entry was taken.
func newClient(timeout time.Duration) *http.Client {
	return &http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// readURL reads an address. It is read for each try, so a new one needs no restart.
func readURL(file string) (string, error) {
	opened, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("read the address: %w", err)
	}
	defer func() { _ = opened.Close() }()
	text, err := io.ReadAll(io.LimitReader(opened, maxURLBytes))
	if err != nil {
		return "", fmt.Errorf("read the address: %w", err)
	}
	address, err := url.Parse(strings.TrimSpace(string(text)))
	if err != nil || address.Scheme != "https" && address.Scheme != "http" || address.Hostname() == "" {
		return "", fmt.Errorf("%s has no address: write one line that begins with https://", file)
	}
	return address.String(), nil
}

// post makes one try.
func (n *Notifier) post(file string, body []byte) *refusal {
	address, err := readURL(file)
	if err != nil {
		return &refusal{text: err.Error()}
	}
	var written atomic.Bool
	ctx := httptrace.WithClientTrace(n.ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { written.Store(true) }})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return &refusal{text: "the address cannot be asked"} // err has the address
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "migration-proxy")
	answer, err := n.client.Do(request)
	if err != nil {
		return &refusal{text: withoutAddress(err, request.URL), again: !written.Load()}
	}
	_ = answer.Body.Close() // only the status counts; the text could repeat the address
	return refusalOf(answer)
}

// withoutAddress is the text of an error without the address, which url.Error has and an
// odd answer may repeat.
func withoutAddress(err error, asked *url.URL) string {
	var withURL *url.Error
	if errors.As(err, &withURL) {
		if withURL.Timeout() || errors.Is(err, context.Canceled) {
			return "no answer in time"
		}
		err = withURL.Err
	}
	if path := asked.EscapedPath(); len(path) > 1 && strings.Contains(err.Error(), path) || asked.RawQuery != "" && strings.Contains(err.Error(), asked.RawQuery) {
		return "the answer cannot be read"
	}
	return err.Error()
}

// refusalOf is nil for a status that says that the message was taken.
func refusalOf(answer *http.Response) *refusal {
	code := answer.StatusCode
	switch {
	case code >= 200 && code <= 299:
		return nil
	case code >= 300 && code <= 399:
		return &refusal{text: fmt.Sprintf("it redirects (status %d), and no redirect is followed", code)}
	}
	refused := &refusal{text: fmt.Sprintf("it answers status %d", code), again: code == http.StatusTooManyRequests || code >= 500}
	if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && seconds > 0 {
		refused.after = min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	return refused
}
