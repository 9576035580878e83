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

// ReplicaEvidence is what one replica measured of the services with a ramp.
type ReplicaEvidence struct {
	Endpoint
	Evidence status.Evidence
	Err      error // why Evidence is not known; nil: it is
}

// StatusGetter gets a document of one replica.
type StatusGetter func(context.Context, Endpoint) ([]byte, error)

// FetchStatuses gets the status of all endpoints, sixteen at a time and each
// within two seconds. The result has the order of the endpoints; failures are
// in Replica.Err.
func FetchStatuses(ctx context.Context, endpoints []Endpoint, get StatusGetter) []Replica {
	replicas := make([]Replica, len(endpoints))
	for i, answer := range fetchAll(ctx, endpoints, get) {
		replicas[i].Endpoint = endpoints[i]
		replicas[i].Status, replicas[i].Err = parsed(answer, proxyclient.ParseStatus, "status of "+endpoints[i].Pod)
	}
	return replicas
}

// FetchEvidence is FetchStatuses for the evidence of ramps.
func FetchEvidence(ctx context.Context, endpoints []Endpoint, get StatusGetter) []ReplicaEvidence {
	replicas := make([]ReplicaEvidence, len(endpoints))
	for i, answer := range fetchAll(ctx, endpoints, get) {
		replicas[i].Endpoint = endpoints[i]
		replicas[i].Evidence, replicas[i].Err = parsed(answer, proxyclient.ParseEvidence, "evidence of "+endpoints[i].Pod)
	}
	return replicas
}

// ReplicaHistory is the history of one service in one replica.
type ReplicaHistory struct {
	Endpoint
	History history.Document
	Err     error // why History is not known; nil: it is
}

// FetchHistories is FetchStatuses for the history of a service.
func FetchHistories(ctx context.Context, endpoints []Endpoint, get StatusGetter) []ReplicaHistory {
	replicas := make([]ReplicaHistory, len(endpoints))
	for i, answer := range fetchAll(ctx, endpoints, get) {
		replicas[i].Endpoint = endpoints[i]
		replicas[i].History, replicas[i].Err = parsed(answer, proxyclient.ParseHistory, "history of "+endpoints[i].Pod)
	}
	return replicas
}

// Document is a document of one replica as it was sent.
type Document struct {
	Endpoint
	Text []byte
	Err  error // why there is no Text
}

// FetchDocuments is FetchStatuses for another document.
func FetchDocuments(ctx context.Context, endpoints []Endpoint, get StatusGetter) []Document {
	documents := make([]Document, len(endpoints))
	for i, answer := range fetchAll(ctx, endpoints, get) {
		documents[i] = Document{endpoints[i], answer.text, answer.err}
	}
	return documents
}

// answer is the document of one replica, or why there is none.
type answer struct {
	text []byte
	err  error
}

// fetchAll gives the answers in the order of the endpoints.
func fetchAll(ctx context.Context, endpoints []Endpoint, get StatusGetter) []answer {
	answers := make([]answer, len(endpoints))
	slots := make(chan struct{}, maxConcurrent)
	var running sync.WaitGroup
	for i, endpoint := range endpoints {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(ctx, statusTimeout)
			defer cancel()
			answers[i].text, answers[i].err = get(ctx, endpoint)
		})
	}
	running.Wait()
	return answers
}

func parsed[T any](from answer, parse func([]byte) (T, error), what string) (T, error) {
	var document T
	err := from.err
	if err == nil {
		document, err = parse(from.text)
	}
	if err != nil {
		return document, fmt.Errorf("get the %s: %w", what, err)
	}
	return document, nil
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
