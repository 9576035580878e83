package finish

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/migration-proxy/migration-proxy/finish"
	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
	"github.com/migration-proxy/migration-proxy/internal/excerpt"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/accesslog"
)

// Watch prints what still arrives at the old cluster, until nothing has for options.Quiet or
// ctx ends.
func Watch(ctx context.Context, w io.Writer, from Source, options Options, interval time.Duration) error {
	s, err := service(ctx, from, &options)
	if err != nil {
		return err
	}
	server, err := newNameServer(options.DNSServer)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		quiet, err := look(ctx, w, from, s, lookAt{server, options, interval})
		if err != nil {
			return err
		}
		if quiet {
			_, err := fmt.Fprintf(w, "quiet for %s: old may go\n", options.Quiet)
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: requests still arrive, or have until a short time ago", ErrNotFinished)
		case <-ticker.C:
		}
	}
}

// lookAt is what one look needs to know, other than the service.
type lookAt struct {
	server   nameServer
	options  Options
	interval time.Duration
}

// look prints one line, and tells whether nothing has arrived for long enough.
func look(ctx context.Context, w io.Writer, from Source, s *migration.Service, at lookAt) (quiet bool, err error) {
	replicas, err := from.rows(ctx, string(s.Name))
	if err != nil {
		return false, err
	}
	now, arrived := time.Now(), sum(replicas)
	line := fmt.Sprintf("%s %s; %s", now.UTC().Format("15:04:05Z07:00"), arrived.text(now), at.server.leadsTo(ctx, at.options.Host))
	if arrived.rate > 0 {
		line += clientsOf(ctx, from, s.Name, at.interval)
	}
	if _, err := fmt.Fprintln(w, line); err != nil {
		return false, fmt.Errorf("print what arrives: %w", err)
	}
	return arrived.known() && now.Sub(arrived.last) >= at.options.Quiet, nil
}

// arrivals are what all replicas got.
type arrivals struct {
	rate     float64   // requests per minute
	last     time.Time // the newest request
	problems []string  // of replicas that do not say
	replicas int
}

func sum(replicas []finish.Replica) arrivals {
	all := arrivals{replicas: len(replicas)}
	for _, replica := range replicas {
		if replica.Problem != "" {
			all.problems = append(all.problems, replica.Name+": "+replica.Problem)
			continue
		}
		all.rate += 60 * replica.Row.Rate()
		if replica.Row.LastRequest.After(all.last) {
			all.last = replica.Row.LastRequest
		}
	}
	return all
}

func (a arrivals) known() bool { return a.replicas > 0 && len(a.problems) == 0 }

func (a arrivals) text(now time.Time) string {
	switch {
	case len(a.problems) > 0:
		return "not known: " + strings.Join(a.problems, "; ")
	case a.replicas == 0:
		return "not known: no replica is ready"
	}
	return fmt.Sprintf("%.0f requests a minute at old, quiet since %s (%s)", a.rate, a.last.UTC().Format("2006-01-02 15:04:05"), now.Sub(a.last).Round(time.Second))
}

// leadsTo is where DNS leads now.
func (n nameServer) leadsTo(ctx context.Context, host string) string {
	var found finish.DNS
	if err := n.records(ctx, host, &found); err != nil {
		return "DNS: " + err.Error()
	}
	if len(found.Chain) == 0 {
		return "DNS: no address of " + host
	}
	var values []string
	for _, record := range found.Chain {
		values = append(values, record.Value)
	}
	return "DNS: " + host + " -> " + strings.Join(values, " -> ")
}

// clientsOf says which clients the requests since the last look came from.
func clientsOf(ctx context.Context, from Source, name migration.Name, since time.Duration) string {
	clients := map[accesslog.Client]int{}
	err := from.lines(ctx, max(int64(since.Seconds()), 1), func(line []byte) {
		if client, ok := accesslog.ClientOf(line); ok && client.Service == string(name) {
			clients[client]++
		}
	})
	if err != nil {
		return "\n  clients not known: " + err.Error()
	}
	return mostFrequent(clients)
}

const (
	// maxClients is how many clients are named.
	maxClients = 5
	// maxAgent is how much of a User-Agent is shown; those of browsers are shorter.
	maxAgent = 160
)

func mostFrequent(clients map[accesslog.Client]int) string {
	sorted := slices.SortedFunc(maps.Keys(clients), func(a, b accesslog.Client) int {
		return cmp.Or(cmp.Compare(clients[b], clients[a]), strings.Compare(a.Address, b.Address), strings.Compare(a.Agent, b.Agent))
	})
	var text strings.Builder
	for _, client := range sorted[:min(maxClients, len(sorted))] {
		fmt.Fprintf(&text, "\n  %5d from %s", clients[client], client.Address)
		if client.Agent != "" {
			text.WriteString(" with " + strconv.Quote(excerpt.Of(client.Agent, maxAgent)))
		}
	}
	if more := len(sorted) - maxClients; more > 0 {
		fmt.Fprintf(&text, "\n  and %d more", more)
	}
	return text.String()
}

// maxLine bounds a line of a log; longer ones are no access log.
const maxLine = 64 << 10

// podLines reads the logs of all ready replicas.
func podLines(ctx context.Context, in *installation.Installation, seconds int64, receive func(line []byte)) error {
	replicas, err := in.Replicas(ctx)
	if err != nil {
		return err
	}
	for _, replica := range replicas {
		stream, err := in.CoreV1().Pods(in.Namespace).GetLogs(replica.Pod, &corev1.PodLogOptions{SinceSeconds: &seconds}).Stream(ctx)
		if err != nil {
			return installation.Right{Verb: "get", Resource: "pods/log", Namespace: in.Namespace}.Explain(err)
		}
		lines := bufio.NewScanner(stream)
		lines.Buffer(nil, maxLine)
		for lines.Scan() {
			receive(lines.Bytes())
		}
		err = errors.Join(lines.Err(), stream.Close())
		if err != nil {
			return fmt.Errorf("read the log of %s: %w", replica.Pod, err)
		}
	}
	return nil
}
