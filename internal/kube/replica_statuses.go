package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

const (
	// statusTimeout bounds one request: a replica answers from memory, so one
	// that takes longer counts as one that does not answer.
	statusTimeout = 2 * time.Second
	// maxConcurrent is the number of requests at the same time.
	maxConcurrent = 16
	// maxStatusBytes is far above the status of ten thousand services.
	maxStatusBytes = 64 << 20

	statusPath = "/status"
)

// Replica is one replica with the status that it reported.
type Replica struct {
	Endpoint
	Status status.Status
	Err    error // why Status is not known; nil: it is
}

// StatusGetter gets the status document of one replica.
type StatusGetter func(context.Context, Endpoint) ([]byte, error)

// FetchStatuses gets the status of all endpoints, sixteen at a time and each
// within two seconds. The result has the order of the endpoints; failures are
// in Replica.Err.
func FetchStatuses(ctx context.Context, endpoints []Endpoint, get StatusGetter) []Replica {
	replicas := make([]Replica, len(endpoints))
	slots := make(chan struct{}, maxConcurrent)
	var running sync.WaitGroup
	for i, endpoint := range endpoints {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			replicas[i] = fetchStatus(ctx, endpoint, get)
		})
	}
	running.Wait()
	return replicas
}

func fetchStatus(ctx context.Context, endpoint Endpoint, get StatusGetter) Replica {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	replica := Replica{Endpoint: endpoint}
	text, err := get(ctx, endpoint)
	if err == nil {
		replica.Status, err = parseStatus(text)
	}
	if err != nil {
		replica.Err = fmt.Errorf("get the status of %s: %w", endpoint.Pod, err)
	}
	return replica
}

func parseStatus(text []byte) (status.Status, error) {
	var document status.Status
	if err := json.Unmarshal(text, &document); err != nil {
		return status.Status{}, fmt.Errorf("the answer is not a proxy's status: %w", err)
	}
	if document.StartedAt.IsZero() {
		return status.Status{}, errors.New("the answer is not a proxy's status: it has no started_at")
	}
	return document, nil
}

// FromPodAddress gets the status at the pod's own address, for programs in the
// cluster. With brief it gets /status?brief, which has only what tells the
// replica's health. The connections are kept for the next request, so one
// getter should be used for all.
func FromPodAddress(brief bool) StatusGetter {
	client := &http.Client{Transport: &http.Transport{
		DialContext:         (&net.Dialer{}).DialContext,
		IdleConnTimeout:     time.Minute,
		MaxIdleConnsPerHost: 1,
	}}
	return func(ctx context.Context, endpoint Endpoint) ([]byte, error) {
		target := url.URL{Scheme: "http", Host: endpoint.Address.String(), Path: statusPath}
		if brief {
			target.RawQuery = "brief"
		}
		return fetch(ctx, client, target.String())
	}
}

func fetch(ctx context.Context, client *http.Client, target string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", target, response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, maxStatusBytes))
}

// ThroughAPIServer gets the status through the API server (pods/proxy), with
// the rights of the client. It is for programs that cannot reach pods.
func ThroughAPIServer(client kubernetes.Interface, namespace string) StatusGetter {
	return func(ctx context.Context, endpoint Endpoint) ([]byte, error) {
		port := fmt.Sprint(endpoint.Address.Port())
		return client.CoreV1().Pods(namespace).ProxyGet("http", endpoint.Pod, port, statusPath, nil).DoRaw(ctx)
	}
}
