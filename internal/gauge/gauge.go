// Package gauge gives metrics that are computed when they are asked for.
package gauge

import "github.com/prometheus/client_golang/prometheus"

// Desc describes a metric; the name is without the program's prefix.
func Desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("migration_proxy_"+name, help, labels, nil)
}

// Set gives the value of a gauge.
type Set func(d *prometheus.Desc, value float64, labels ...string)

// To makes a Set for a prometheus.Collector.
func To(out chan<- prometheus.Metric) Set {
	return func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
}

// OneIf is 1 for true and 0 for false.
func OneIf(condition bool) float64 {
	if condition {
		return 1
	}
	return 0
}
