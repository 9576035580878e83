package compare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/migration-proxy/migration-proxy/compare"
	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
	"github.com/migration-proxy/migration-proxy/internal/cli/oneproxy"
	"github.com/migration-proxy/migration-proxy/internal/proxyclient"
	"github.com/migration-proxy/migration-proxy/migration"
)

// Source has the comparison that running proxies make: InCluster or OneProxy.
type Source interface {
	// tallies gives the documents of all proxies, and says which gave none.
	tallies(ctx context.Context, query map[string]string) (texts [][]byte, notes []string, err error)
}

// InCluster are the replicas of an installation.
type InCluster struct{ *installation.Installation }

func (c InCluster) tallies(ctx context.Context, query map[string]string) (texts [][]byte, notes []string, err error) {
	documents, err := c.Documents(ctx, proxyclient.ComparisonPath, query)
	if err != nil {
		return nil, nil, err
	}
	for _, answer := range documents {
		if answer.Err != nil {
			notes = append(notes, fmt.Sprintf("%s: %v", answer.Pod, answer.Err))
			continue
		}
		texts = append(texts, answer.Document)
	}
	return texts, notes, nil
}

// OneProxy is one proxy by its address.
type OneProxy struct{ oneproxy.Proxy }

func (p OneProxy) tallies(ctx context.Context, query map[string]string) (texts [][]byte, notes []string, err error) {
	values := url.Values{}
	for name, value := range query {
		values.Set(name, value)
	}
	text, err := p.Document(ctx, proxyclient.ComparisonPath+"?"+values.Encode())
	if err != nil {
		return nil, nil, err
	}
	return [][]byte{text}, nil, nil
}

// Running reads what proxies with compare.continuous have found: in the last hour, or,
// after a wait, since now.
func Running(ctx context.Context, from Source, service migration.Name, wait time.Duration) (Result, error) {
	query := map[string]string{"service": string(service)}
	if wait > 0 {
		query["since"] = strconv.FormatInt(time.Now().Unix(), 10)
		select {
		case <-ctx.Done():
			return Result{}, ctx.Err()
		case <-time.After(wait):
		}
	}
	texts, notes, err := from.tallies(ctx, query)
	if err != nil {
		return Result{}, explainNotCompared(err, service)
	}
	if len(texts) == 0 {
		return Result{}, fmt.Errorf("no proxy has compared service %s (does its config say compare: {continuous: true}?): %v", service, notes)
	}
	sum := &compare.Tally{}
	for _, text := range texts {
		var one compare.Tally
		if err := json.Unmarshal(text, &one); err != nil {
			return Result{}, fmt.Errorf("the answer is not the comparison of a proxy: %w", err)
		}
		sum.Merge(&one)
	}
	return Result{Service: string(service), Report: sum.Report(), Notes: notes}, nil
}

func explainNotCompared(err error, service migration.Name) error {
	var answer proxyclient.AnswerError
	if errors.As(err, &answer) {
		return fmt.Errorf("service %s is not compared: %w; write compare: {continuous: true} in its config", service, err)
	}
	return err
}
