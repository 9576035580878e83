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
	// askTimeout bounds one question: a replica answers from memory, and one
	// that takes longer is no better than one that does not answer.
	askTimeout = 2 * time.Second
	// atOnce is how many replicas are asked at the same time.
	atOnce = 16
	// answerLimit is far above the status of ten thousand services.
	answerLimit = 64 << 20
)

// Replica is what one replica says of itself.
type Replica struct {
	Endpoint
	Status status.Status
	Err    error // why Status is not known
}

// Getter fetches the status document of one replica.
type Getter func(context.Context, Endpoint) ([]byte, error)

// Ask asks all endpoints, up to sixteen at once and each for two seconds at
// most, and gives their answers in the order of the endpoints.
func Ask(ctx context.Context, endpoints []Endpoint, get Getter) []Replica {
	replicas := make([]Replica, len(endpoints))
	slots := make(chan struct{}, atOnce)
	var asking sync.WaitGroup
	for i, endpoint := range endpoints {
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			replicas[i] = ask(ctx, endpoint, get)
		})
	}
	asking.Wait()
	return replicas
}

func ask(ctx context.Context, endpoint Endpoint, get Getter) Replica {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	replica := Replica{Endpoint: endpoint}
	text, err := get(ctx, endpoint)
	if err == nil {
		replica.Status, err = parse(text)
	}
	if err != nil {
		replica.Err = fmt.Errorf("ask %s: %w", endpoint.Pod, err)
	}
	return replica
}

func parse(text []byte) (status.Status, error) {
	var document status.Status
	if err := json.Unmarshal(text, &document); err != nil {
		return status.Status{}, fmt.Errorf("its answer is not a proxy's status: %w", err)
	}
	if document.StartedAt.IsZero() {
		return status.Status{}, errors.New("its answer is not a proxy's status")
	}
	return document, nil
}

// Direct asks at the pod's own address: for who runs in the cluster. Brief
// leaves out all but what tells the replica's health: /status?brief. The
// connections are kept for the next question; one Direct is meant to be used
// again.
func Direct(brief bool) Getter {
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

const statusPath = "/status"

func fetch(ctx context.Context, client *http.Client, target string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // only read
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", target, response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, answerLimit))
}

// ThroughAPIServer asks by way of the API server (pods/proxy), with the
// client's own rights: for who does not reach pods.
func ThroughAPIServer(client kubernetes.Interface, namespace string) Getter {
	return func(ctx context.Context, endpoint Endpoint) ([]byte, error) {
		port := fmt.Sprint(endpoint.Address.Port())
		return client.CoreV1().Pods(namespace).ProxyGet("http", endpoint.Pod, port, statusPath, nil).DoRaw(ctx)
	}
}
