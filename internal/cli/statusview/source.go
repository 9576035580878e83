package statusview

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/migration-proxy/migration-proxy/internal/cli/clusterstatus"
	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
	"github.com/migration-proxy/migration-proxy/internal/cli/oneproxy"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// Source reads the status as it is now.
type Source interface {
	read(context.Context) (document, error)
}

// document is one status: JSON for programs and a page for people.
type document struct {
	json []byte
	page page
}

// FromProxy is the status of one proxy. Service, if not "", is the only one to
// show.
func FromProxy(proxy oneproxy.Proxy, service string) Source { return proxySource{proxy, service} }

type proxySource struct {
	proxy   oneproxy.Proxy
	service string
}

func (s proxySource) read(ctx context.Context) (document, error) {
	now, text, err := s.proxy.Status(ctx)
	if err != nil {
		return document{}, err
	}
	if s.service != "" {
		now.Services = slices.DeleteFunc(now.Services, func(row status.Service) bool { return row.Name != s.service })
		if len(now.Services) == 0 {
			return document{}, fmt.Errorf("the proxy serves no service %q; 'migration-proxy status' lists them", s.service)
		}
		if text, err = json.Marshal(now); err != nil {
			return document{}, fmt.Errorf("encode status: %w", err)
		}
	}
	return document{text, proxyPage(now)}, nil
}

// FromCluster is the status of all replicas. Service, if not "", is the only
// one to show.
func FromCluster(from *installation.Installation, service string) Source {
	return clusterSource{from, service}
}

type clusterSource struct {
	from    *installation.Installation
	service string
}

func (s clusterSource) read(ctx context.Context) (document, error) {
	now, err := clusterstatus.Read(ctx, s.from)
	if err != nil {
		return document{}, err
	}
	if s.service != "" {
		row, ok := now.Service(s.service)
		if !ok {
			return document{}, fmt.Errorf("there is no service %q; 'migration-proxy status' lists them", s.service)
		}
		now.Services = []clusterstatus.Service{row}
	}
	text, err := json.Marshal(now)
	if err != nil {
		return document{}, fmt.Errorf("encode status: %w", err)
	}
	return document{text, clusterPage(now)}, nil
}
