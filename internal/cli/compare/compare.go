package compare

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/migration-proxy/migration-proxy/compare"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/dataplane"
	"github.com/migration-proxy/migration-proxy/proxy/sampling"
)

// Format is how a comparison is printed.
type Format string

// The formats.
const (
	Table Format = "table"
	JSON  Format = "json"
)

// Result is a comparison of one service. The JSON form is an interface.
type Result struct {
	Service string `json:"service"`
	compare.Report
	// Variants are what Offline.Variants found.
	Variants *compare.Report `json:"variants,omitempty"`
	// Foreign counts lines of the log that belong to other services.
	Foreign int `json:"of_other_services,omitempty"`
	// Notes say what could not be looked at.
	Notes []string `json:"notes,omitempty"`
}

// Offline compares with an nginx of its own. Paths or Log is required.
type Offline struct {
	Table   *migration.Table
	Service migration.Name
	Paths   io.Reader // one request a line
	Log     io.Reader // an access log
	Skip    []string  // beside those of the service
	// Headers go to both sides with each request: a person may be signed in with them.
	Headers []sampling.Header
	Nginx   string  // path or name of the binary
	Scheme  string  // that clients use: https or http
	Rate    float64 // samples a second; 0: 5
	// Variants also asks for paths beside each request, see variants.
	Variants bool
	// AsOldHost asks new with old_host as Host and server name, as clients will when DNS
	// leads to new.
	AsOldHost bool
}

// defaultRate is how many samples a second are taken, each of three to five requests.
const defaultRate = 5

// atOnce is how many samples are under way.
const atOnce = 2

// Compare asks both sides.
func (o *Offline) Compare(ctx context.Context) (Result, error) {
	table, service, err := o.prepare()
	if err != nil {
		return Result{}, err
	}
	requests := newRequests(service, o.Skip)
	if err := o.read(requests); err != nil {
		return Result{}, err
	}
	if len(requests.chosen) == 0 {
		return Result{}, fmt.Errorf("no request of service %s can be asked again: %s", service.Name, leftOut(requests))
	}
	asker, err := dataplane.StartComparing(ctx, table, o.Nginx, o.Scheme)
	if err != nil {
		return Result{}, err
	}
	asker.Headers = o.Headers
	result, err := o.ask(ctx, &asker.Asker, requests)
	result.Notes = append(result.Notes, o.notes()...)
	return result, errors.Join(err, asker.Close())
}

// prepare finds the service, and changes the table for AsOldHost.
func (o *Offline) prepare() (*migration.Table, *migration.Service, error) {
	table := o.Table
	service := table.Service(o.Service)
	switch {
	case service == nil:
		return nil, nil, fmt.Errorf("no service %q in the migration config", o.Service)
	case service.GRPC():
		return nil, nil, fmt.Errorf("service %s has protocol grpc, whose calls cannot be asked again", o.Service)
	case !o.AsOldHost:
		return table, service, nil
	case service.OldHost.Wildcard():
		return nil, nil, fmt.Errorf("service %s has a wildcard as old_host, and a certificate is for one name", o.Service)
	}
	services := append([]migration.Service(nil), table.Services()...)
	for i := range services {
		if services[i].Name == o.Service {
			services[i].NewHost, services[i].TLS.ServerName = services[i].OldHost, services[i].OldHost
		}
	}
	table, err := migration.NewTable(table.Global(), services)
	if err != nil {
		return nil, nil, err
	}
	return table, table.Service(o.Service), nil
}

func (o *Offline) read(into *requests) error {
	if o.Log != nil {
		if err := into.readLog(o.Log); err != nil {
			return fmt.Errorf("read the access log: %w", err)
		}
		return nil
	}
	if err := into.readPaths(o.Paths); err != nil {
		return fmt.Errorf("read the paths: %w", err)
	}
	return nil
}

// ask asks what was chosen, then the variants.
func (o *Offline) ask(ctx context.Context, asker *sampling.Asker, r *requests) (Result, error) {
	pace := newPace(o.Rate)
	if err := r.ask(ctx, asker, pace); err != nil {
		return Result{}, err
	}
	result := Result{Service: string(r.service.Name), Report: r.tally.Report(), Foreign: r.foreign}
	if !o.Variants {
		return result, nil
	}
	beside := newRequests(r.service, o.Skip)
	for _, request := range r.chosen {
		for _, variant := range variants(request) {
			if r.belongs(variant.Host, variant.Target) {
				beside.add(variant.Method, variant.Host, variant.Target, "")
			}
		}
	}
	if err := beside.ask(ctx, asker, pace); err != nil {
		return Result{}, err
	}
	report := beside.tally.Report()
	result.Variants = &report
	return result, nil
}

// notes say under which identity both sides were asked, without its secrets.
func (o *Offline) notes() []string {
	var notes []string
	for _, header := range o.Headers {
		notes = append(notes, fmt.Sprintf("asked with your header %s", header.Name))
	}
	return notes
}

func newPace(rate float64) time.Duration {
	if rate <= 0 {
		rate = defaultRate
	}
	return time.Duration(float64(time.Second) / rate)
}

// ask asks the chosen requests, some at once, and begins one each pace.
func (r *requests) ask(ctx context.Context, asker *sampling.Asker, pace time.Duration) error {
	var mu sync.Mutex
	var under sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	begin := time.NewTicker(pace)
	defer begin.Stop()
	for _, request := range r.chosen {
		select {
		case <-ctx.Done():
			under.Wait()
			return ctx.Err()
		case <-begin.C:
		}
		slots <- struct{}{}
		under.Go(func() {
			sample, verdict, _ := asker.Look(ctx, r.service, request)
			mu.Lock()
			r.tally.Add(&sample, verdict, time.Now())
			mu.Unlock()
			<-slots
		})
	}
	under.Wait()
	return ctx.Err()
}

func leftOut(r *requests) string {
	text := ""
	for _, line := range unaskedLines(r.tally.Unasked) {
		text += line + ", "
	}
	return text + fmt.Sprintf("%d of other services", r.foreign)
}
