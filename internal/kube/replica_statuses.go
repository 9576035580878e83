package kube

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/migration-proxy/migration-proxy/internal/history"
	"github.com/migration-proxy/migration-proxy/internal/proxyclient"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

const (
	// statusTimeout bounds one request: a replica answers from memory, so one
	// that takes longer counts as one that does not answer.
	statusTimeout = 2 * time.Second
	// maxConcurrent is the number of requests at the same time.
	maxConcurrent = 16
)

// Replica is one replica with the status that it reported.
type Replica struct {
	Endpoint
	Status status.Status
	Err    error // why Status is not known; nil: it is
}

// Answer is a document of one replica.
type Answer[T any] struct {
	Endpoint
	Document T
	Err      error // why Document is not known; nil: it is
}

// StatusGetter gets a document of one replica.
type StatusGetter func(context.Context, Endpoint) ([]byte, error)

// FetchStatuses gets the status of all endpoints, sixteen at a time and each
// within two seconds. The result has the order of the endpoints; failures are
// in Replica.Err.
func FetchStatuses(ctx context.Context, endpoints []Endpoint, get StatusGetter) []Replica {
	replicas := make([]Replica, len(endpoints))
	for i, answer := range fetch(ctx, endpoints, get, "status", proxyclient.ParseStatus) {
		replicas[i] = Replica{answer.Endpoint, answer.Document, answer.Err}
	}
	return replicas
}

// FetchEvidence is FetchStatuses for what the replicas measured of the services with a ramp.
func FetchEvidence(ctx context.Context, endpoints []Endpoint, get StatusGetter) []Answer[status.Evidence] {
	return fetch(ctx, endpoints, get, "evidence", proxyclient.ParseEvidence)
}

// FetchHistories is FetchStatuses for the history of a service.
func FetchHistories(ctx context.Context, endpoints []Endpoint, get StatusGetter) []Answer[history.Document] {
	return fetch(ctx, endpoints, get, "history", proxyclient.ParseHistory)
}

func fetch[T any](ctx context.Context, endpoints []Endpoint, get StatusGetter, what string, parse func([]byte) (T, error)) []Answer[T] {
	answers := make([]Answer[T], len(endpoints))
	for i, sent := range FetchDocuments(ctx, endpoints, get) {
		answers[i].Endpoint = sent.Endpoint
		err := sent.Err
		if err == nil {
			answers[i].Document, err = parse(sent.Document)
		}
		if err != nil {
			answers[i].Err = fmt.Errorf("get the %s of %s: %w", what, sent.Pod, err)
		}
	}
	return answers
}

// FetchDocuments is FetchStatuses for a document as it was sent.
func FetchDocuments(ctx context.Context, endpoints []Endpoint, get StatusGetter) []Answer[[]byte] {
	answers := make([]Answer[[]byte], len(endpoints))
	slots := make(chan struct{}, maxConcurrent)
	var running sync.WaitGroup
	for i, endpoint := range endpoints {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(ctx, statusTimeout)
			defer cancel()
			text, err := get(ctx, endpoint)
			answers[i] = Answer[[]byte]{endpoint, text, err}
		})
	}
	running.Wait()
	return answers
}

// ErrUnreachable is the error of FromPodAddress when the pod does not even take a TCP
// connection: it, its node or the network between is gone. The kernel takes connections
// for a program that is only busy.
var ErrUnreachable = errors.New("the pod takes no connection")

// connectTimeout is how long the pod has to take a connection.
const connectTimeout = 500 * time.Millisecond

// FromPodAddress gets the status at the pod's own address, for programs in the
// cluster. With brief it gets /status?brief, which has only what tells the
// replica's health. The connections are kept for the next request, so one
// getter should be used for all.
func FromPodAddress(brief bool) StatusGetter {
	if brief {
		return fromPodAddress(proxyclient.BriefStatusPath)
	}
	return fromPodAddress(proxyclient.StatusPath)
}

// EvidenceFromPodAddress is FromPodAddress for FetchEvidence.
func EvidenceFromPodAddress() StatusGetter { return fromPodAddress(proxyclient.EvidencePath) }

func fromPodAddress(path string) StatusGetter {
	client := proxyclient.New()
	return func(ctx context.Context, endpoint Endpoint) ([]byte, error) {
		text, err := client.Get(ctx, endpoint.Address.String(), path)
		if err != nil && !takesConnections(ctx, endpoint) {
			return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		return text, err
	}
}

func takesConnections(ctx context.Context, endpoint Endpoint) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout) // the time of ctx may be over
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", endpoint.Address.String())
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// ThroughAPIServer gets the status through the API server (pods/proxy), with
// the rights of the client. It is for programs that cannot reach pods.
func ThroughAPIServer(client kubernetes.Interface, namespace string) StatusGetter {
	return DocumentThroughAPIServer(client, namespace, proxyclient.StatusPath, nil)
}

// HistoryThroughAPIServer is ThroughAPIServer for FetchHistories.
func HistoryThroughAPIServer(client kubernetes.Interface, namespace, service string) StatusGetter {
	return DocumentThroughAPIServer(client, namespace, proxyclient.HistoryPath, map[string]string{"service": service})
}

// DocumentThroughAPIServer is ThroughAPIServer for the document of a path, with a query.
func DocumentThroughAPIServer(client kubernetes.Interface, namespace, path string, query map[string]string) StatusGetter {
	return func(ctx context.Context, endpoint Endpoint) ([]byte, error) {
		port := strconv.Itoa(int(endpoint.Address.Port()))
		return client.CoreV1().Pods(namespace).ProxyGet("http", endpoint.Pod, port, path, query).DoRaw(ctx)
	}
}
