package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/migration-proxy/migration-proxy/status"
)

// printTable shows a status to people: what the proxy is doing, one line per
// service with old and new as "old/new", and what is wrong.
func printTable(w io.Writer, now status.Status, wide bool) error {
	if _, err := fmt.Fprintf(w, "%s\n\n", headline(now)); err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	header := "NAME\tHOST\tPATH\tSHARE\tOBSERVED\tPHASE\tRPS old/new\tERR old/new\tP50 old/new\tP99 old/new"
	if wide {
		header += "\tSTRATEGY\tRESCUED\tOLD\tNEW"
	}
	fmt.Fprintln(table, header)
	for _, service := range now.Services {
		fmt.Fprintln(table, strings.Join(cells(service, wide), "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, line := range troubles(now) {
		if _, err := fmt.Fprintf(w, "\n%s\n", line); err != nil {
			return err
		}
	}
	return nil
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

func cells(s status.Service, wide bool) []string {
	observed := "-"
	if s.Observed != nil {
		observed = strconv.FormatFloat(*s.Observed, 'f', 1, 64) + "%"
	}
	row := []string{
		s.Name, s.OldHost, s.PathPrefix, strconv.FormatFloat(s.Share, 'f', -1, 64) + "%", observed, string(s.Phase),
		both(s, func(side status.Side) string { return strconv.FormatFloat(side.Rate, 'f', 1, 64) }),
		both(s, func(side status.Side) string { return strconv.FormatFloat(100*side.Failed, 'f', 1, 64) + "%" }),
		both(s, func(side status.Side) string { return latency(side.P50) }),
		both(s, func(side status.Side) string { return latency(side.P99) }),
	}
	if wide {
		row = append(row, s.Strategy, strconv.FormatUint(s.New.Rescued, 10), s.Old.Backend, s.New.Backend)
	}
	return row
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
	for _, service := range now.Services {
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
