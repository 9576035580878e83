package compare

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// Report is what a Tally says. The JSON form is an interface.
type Report struct {
	Samples int `json:"samples"`
	Routes  int `json:"routes"` // with a sample
	// Requests are those of clients that were seen, Unasked those that cannot be samples.
	Requests uint64            `json:"requests"`
	Unasked  map[string]uint64 `json:"unasked,omitempty"`
	// Covered is the percentage of the requests whose route has a sample.
	Covered float64 `json:"covered_percent"`
	// Same is the percentage of the covered requests on which both sides answer alike,
	// Noise the percentage of samples in which old differs from itself. nil without a sample.
	Same     *float64  `json:"same_percent"`
	Noise    float64   `json:"noise_percent"`
	Slower   *Slower   `json:"slower,omitempty"`
	Findings []Finding `json:"findings"`
}

// Slower is the median of new's times minus old's in milliseconds, with its 95 %
// interval.
type Slower struct {
	Median float64 `json:"median_ms"`
	Low    float64 `json:"low_ms"`
	High   float64 `json:"high_ms"`
	Pairs  int     `json:"pairs"`
}

// Finding is a difference of one route that is not noise.
type Finding struct {
	Route string `json:"route"` // "GET /catalog/{n}"
	// Share is the percentage of the covered requests that have it.
	Share    float64   `json:"share_percent"`
	Differs  int       `json:"differs"` // samples with the difference
	Samples  int       `json:"samples"` // of the route
	Field    string    `json:"field"`
	Cause    Cause     `json:"cause"`
	Text     string    `json:"text"`
	Advice   string    `json:"advice,omitempty"`
	Examples []Example `json:"examples"`
}

// Report finds what is not noise.
func (t *Tally) Report() Report {
	report := Report{Unasked: t.Unasked, Findings: []Finding{}, Slower: slower(t.Times)}
	noise := t.noiseRates()
	var weights, same float64
	var covered uint64
	noisySamples := 0
	for key, r := range t.Routes {
		report.Requests += r.Requests
		if r.Samples == 0 {
			continue
		}
		report.Routes++
		report.Samples += r.Samples
		noisySamples += r.Noisy
		covered += r.Requests
		found := r.findings(key, noise)
		weight := r.weight()
		weights += weight
		same += weight * (1 - float64(r.differing(found))/float64(r.Samples))
		report.Findings = append(report.Findings, found...)
	}
	for _, n := range t.Unasked {
		report.Requests += n
	}
	if report.Samples == 0 {
		return report
	}
	report.Same = new(float64)
	*report.Same = 100 * same / weights
	report.Noise = 100 * float64(noisySamples) / float64(report.Samples)
	report.Covered = 100 * float64(covered) / float64(max(report.Requests, 1))
	for i := range report.Findings {
		f := &report.Findings[i]
		f.Share = 100 * t.Routes[f.Route].weight() / weights * float64(f.Differs) / float64(f.Samples)
	}
	slices.SortFunc(report.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(b.Share, a.Share), strings.Compare(a.Route, b.Route), strings.Compare(a.Field, b.Field))
	})
	return report
}

// weight is how many requests a route stands for: each sample at least for itself.
func (r *RouteTally) weight() float64 { return float64(max(r.Requests, uint64(r.Samples), 1)) }

// noiseRates gives, for each field, the part of the samples of its routes that it was
// noise in.
func (t *Tally) noiseRates() map[string]float64 {
	noise, samples := map[string]int{}, map[string]int{}
	for _, r := range t.Routes {
		for name, f := range r.Fields {
			noise[name] += f.Noise
			samples[name] += r.Samples
		}
	}
	rates := map[string]float64{}
	for name, n := range noise {
		rates[name] = float64(n) / float64(max(samples[name], 1))
	}
	return rates
}

func (r *RouteTally) findings(key string, noise map[string]float64) []Finding {
	var found []Finding
	for name, f := range r.Fields {
		if f.Differs > 0 && surely(f.Differs, f.Noise, r.Samples, noise[name]) {
			found = append(found, Finding{
				Route: key, Differs: f.Differs, Samples: r.Samples, Field: name,
				Cause: f.Cause, Text: f.Text, Advice: f.Cause.Advice(), Examples: f.Examples,
			})
		}
	}
	return found
}

// differing counts the samples with at least one of the findings.
func (r *RouteTally) differing(found []Finding) int {
	n := 0
	for fields, samples := range r.Together {
		has := func(f Finding) bool { return slices.Contains(strings.Split(fields, "\n"), f.Field) }
		if slices.ContainsFunc(found, has) {
			n += samples
		}
	}
	return min(n, r.Samples)
}

const (
	// maxChance is the probability that noise alone gives so many differences.
	maxChance = 1e-4
	// priorSamples is how many samples the noise of the same field on other routes is
	// worth.
	priorSamples = 2
)

// surely tells whether a field differs more often than its noise explains. The noise of
// the route counts with all its samples, that of the same field on all routes like two
// samples more, so that a route with one sample learns from the others. A difference has
// been seen twice in its sample, so noise alone makes one with the square of its rate:
//
//	differs  noise  samples  on all routes   rate   chance   finding
//	1        0      1        0 %             0      0        yes
//	1        0      1        1 %             0.007  4e-5     yes
//	1        0      1        50 %            0.33   0.1      no
//	20       0      20       50 %            0.05   1e-53    yes
//	1        4      20       20 %            0.2    0.6      no
func surely(differs, noise, samples int, everywhere float64) bool {
	rate := min((float64(noise)+priorSamples*everywhere)/float64(samples+priorSamples), 1)
	return atLeast(differs, samples, rate*rate) < maxChance
}

// atLeast is the probability of k or more successes in n trials with the given rate.
func atLeast(k, n int, rate float64) float64 {
	if rate <= 0 {
		return 0
	}
	if rate >= 1 {
		return 1
	}
	sum := 0.0
	for i := k; i <= n; i++ {
		sum += math.Exp(logChoose(n, i) + float64(i)*math.Log(rate) + float64(n-i)*math.Log1p(-rate))
	}
	return sum
}

func logChoose(n, k int) float64 {
	all, _ := math.Lgamma(float64(n + 1))
	chosen, _ := math.Lgamma(float64(k + 1))
	rest, _ := math.Lgamma(float64(n - k + 1))
	return all - chosen - rest
}

// fewestPairs is how many pairs an interval needs.
const fewestPairs = 10

// slower gives the median of paired differences. The interval is that of the sign test:
// it needs no assumption about how times are distributed.
func slower(times []float64) *Slower {
	n := len(times)
	if n < fewestPairs {
		return nil
	}
	sorted := slices.Sorted(slices.Values(times))
	margin := 1.96 * math.Sqrt(float64(n)) / 2
	low := max(int(math.Floor(float64(n)/2-margin)), 0)
	return &Slower{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Low: sorted[low], High: sorted[n-1-low], Pairs: n}
}
