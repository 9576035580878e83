package leader

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
)

// Checks asks the addresses of ramp.check, each once in its time. One goroutine at a time
// may use it.
type Checks struct {
	client  *http.Client
	results map[migration.RampCheck]checkResult
}

type checkResult struct {
	at      time.Time
	refusal string // "" agrees
}

// NewChecks bounds each request to an address by the timeout.
func NewChecks(timeout time.Duration) *Checks {
	return &Checks{results: map[migration.RampCheck]checkResult{}, client: &http.Client{
		// A redirect is no answer of the address that the config names.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       timeout,
	}}
}

// Ask asks the addresses that are due, all at the same time.
func (c *Checks) Ask(ctx context.Context, services []migration.Service, now time.Time) {
	before := c.results
	c.results = map[migration.RampCheck]checkResult{}
	var running sync.WaitGroup
	var mu sync.Mutex
	for i := range services {
		if services[i].Ramp == nil || services[i].EffectiveShare() == 0 {
			continue
		}
		for _, check := range services[i].Ramp.Checks {
			if known, ok := before[check]; ok && now.Sub(known.at) < check.Every {
				c.results[check] = known
				continue
			}
			running.Go(func() {
				refusal := c.get(ctx, check)
				mu.Lock()
				defer mu.Unlock()
				c.results[check] = checkResult{now, refusal}
			})
		}
	}
	running.Wait()
}

// get asks one address.
func (c *Checks) get(ctx context.Context, check migration.RampCheck) string {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, check.URL, nil)
	if err != nil {
		return err.Error()
	}
	answer, err := c.client.Do(request)
	if err != nil {
		return err.Error()
	}
	_ = answer.Body.Close() // only the status counts
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return "it answers " + answer.Status
	}
	return ""
}

// Gates are the checks of a service that do not agree.
func (c *Checks) Gates(r *migration.Ramp) []ramp.Gate {
	var gates []ramp.Gate
	for _, check := range r.Checks {
		if refusal := c.results[check].refusal; refusal != "" {
			gates = append(gates, ramp.Gate{Reason: ramp.ReasonCheck, Detail: fmt.Sprintf("%s: %s", check.Name, refusal)})
		}
	}
	return gates
}
