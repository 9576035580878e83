package validate

import (
	"context"
	"fmt"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/cli/clusterstatus"
	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
	"github.com/migration-proxy/migration-proxy/internal/cli/oneproxy"
	"github.com/migration-proxy/migration-proxy/ramp"
)

// Rates tells how many requests per second each service got in the last minute.
type Rates func(context.Context) (map[string]float64, error)

// OfCluster are the rates of all replicas together.
func OfCluster(in *installation.Installation) Rates {
	return func(ctx context.Context) (map[string]float64, error) {
		document, err := clusterstatus.Read(ctx, in)
		if err != nil {
			return nil, err
		}
		rates := map[string]float64{}
		for _, s := range document.Services {
			rates[s.Name] = s.Rate()
		}
		return rates, nil
	}
}

// OfProxy are the rates of one proxy.
func OfProxy(proxy oneproxy.Proxy) Rates {
	return func(ctx context.Context) (map[string]float64, error) {
		document, _, err := proxy.Status(ctx)
		if err != nil {
			return nil, err
		}
		rates := map[string]float64{}
		for _, s := range document.Services {
			rates[s.Name] = s.Rate()
		}
		return rates, nil
	}
}

// Notes are what a config allows and what may surprise. The error is config.Problems when
// the text does not load. Without rates, or where nobody can tell them, steps of ramps are
// judged by the config alone.
func Notes(ctx context.Context, name string, text []byte, rates Rates) ([]string, error) {
	table, err := config.Load(name, text)
	if err != nil {
		return nil, err
	}
	notes := table.Risks(nil)
	services := table.Services()
	if !table.HasRamps() {
		return notes, nil
	}
	seen := map[string]float64{}
	if rates != nil {
		if seen, err = rates(ctx); err != nil {
			notes = append(notes, "the steps of ramps are not compared with the requests that services get: "+err.Error())
		}
	}
	steps, err := config.FindSteps(name, text)
	if err != nil {
		return notes, err
	}
	for i := range services {
		for _, doubt := range ramp.Doubts(&services[i], seen[string(services[i].Name)]) {
			where, err := steps.At(services[i].Name, doubt.Step, doubt.Text)
			if err != nil {
				return notes, fmt.Errorf("find a step: %w", err)
			}
			notes = append(notes, where.String())
		}
	}
	return notes, nil
}
