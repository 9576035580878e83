package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

// page is a status for people: what is being done, one line per service with
// old and new as "old/new", and what is wrong.
type page struct {
	headline string
	services []row
	replicas [][]string // of all replicas, in wide only; the first is the head
	troubles []string
}

// row is one service's line.
type row struct {
	status.Service
	observed string // the observed share, or shares
}

func pageOf(now status.Status) page {
	rows := make([]row, len(now.Services))
	for i, service := range now.Services {
		rows[i] = row{service, percent(service.Observed)}
	}
	return page{headline: headline(now), services: rows, troubles: troubles(now)}
}

func (p page) print(w io.Writer, wide bool) error {
	header := []string{
		"NAME", "HOST", "PATH", "SHARE", "OBSERVED", "PHASE", "RPS old/new", "ERR old/new", "P50 old/new", "P99 old/new",
	}
	if wide {
		header = append(header, "STRATEGY", "RESCUED", "OLD", "NEW")
	}
	table := [][]string{header}
	for _, row := range p.services {
		table = append(table, row.cells(wide))
	}
	if _, err := fmt.Fprintf(w, "%s\n\n", p.headline); err != nil {
		return err
	}
	if err := printTable(w, table); err != nil {
		return err
	}
	if wide && len(p.replicas) > 1 {
		fmt.Fprintln(w)
		if err := printTable(w, p.replicas); err != nil {
			return err
		}
	}
	for _, line := range p.troubles {
		if _, err := fmt.Fprintf(w, "\n%s\n", line); err != nil {
			return err
		}
	}
	return nil
}

func printTable(w io.Writer, rows [][]string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, cells := range rows {
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	return table.Flush()
}

// headline is "ready, serves 0123456789abcdef of migration.yaml for 5m0s,
// nginx 1.22.1".
func headline(now status.Status) string {
	ready := "ready"
	if !now.Ready {
		ready = "NOT READY"
	}
	config := "serves no config yet"
	if now.Config.Digest != "" {
		config = fmt.Sprintf("serves %s of %s for %s", now.Config.Digest, now.Config.Source,
			now.Now.Sub(now.Config.Since).Round(time.Second))
	}
	return fmt.Sprintf("%s, %s, nginx %s", ready, config, now.Nginx.Version)
}

func (s row) cells(wide bool) []string {
	row := []string{
		s.Name, s.OldHost, s.PathPrefix, strconv.FormatFloat(s.Share, 'f', -1, 64) + "%", s.observed, string(s.Phase),
		both(s.Service, func(side status.Side) string { return strconv.FormatFloat(side.Rate, 'f', 1, 64) }),
		both(s.Service, func(side status.Side) string { return strconv.FormatFloat(100*side.Failed, 'f', 1, 64) + "%" }),
		both(s.Service, func(side status.Side) string { return latency(side.P50) }),
		both(s.Service, func(side status.Side) string { return latency(side.P99) }),
	}
	if wide {
		row = append(row, s.Strategy, strconv.FormatUint(s.New.Rescued, 10), s.Old.Backend, s.New.Backend)
	}
	return row
}

// percent is a share that was observed, or "-" without requests.
func percent(share *float64) string {
	if share == nil {
		return "-"
	}
	return strconv.FormatFloat(*share, 'f', 1, 64) + "%"
}

func both(s status.Service, cell func(status.Side) string) string {
	return cell(s.Old) + "/" + cell(s.New)
}

// latency is milliseconds, or "-" without a request.
func latency(seconds float64) string {
	switch {
	case seconds == 0:
		return "-"
	case seconds < 0.01:
		return strconv.FormatFloat(1000*seconds, 'f', 1, 64) + "ms"
	}
	return strconv.FormatFloat(1000*seconds, 'f', 0, 64) + "ms"
}

// troubles is everything that somebody should look at.
func troubles(now status.Status) []string {
	var lines []string
	if rejected := now.Config.Rejected; rejected != nil {
		lines = append(lines, fmt.Sprintf("The newest config was rejected at %s (%s); the last good one stays in force:\n%s",
			rejected.At.Local().Format(time.DateTime), rejected.Stage, strings.Join(rejected.Problems, "\n")))
	}
	if now.Nginx.LastError != "" {
		lines = append(lines, "nginx: "+now.Nginx.LastError)
	}
	return append(lines, serviceTroubles(now.Services)...)
}

func serviceTroubles(services []status.Service) []string {
	var lines []string
	for _, service := range services {
		if service.Reason != "" && service.Phase != status.Disabled {
			lines = append(lines, fmt.Sprintf("%s: %s", service.Name, service.Reason))
		}
		for _, side := range []status.Side{service.Old, service.New} {
			if side.Unresolved != "" {
				lines = append(lines, fmt.Sprintf("%s: %s: %s", service.Name, side.Backend, side.Unresolved))
			}
		}
	}
	return lines
}
