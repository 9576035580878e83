package localramp

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
)

// checkTimeout bounds one request to an address of ramp.check.
const checkTimeout = 2 * time.Second

// checks ask the addresses of ramp.check, each once in its time.
type checks struct {
	client  *http.Client
	results map[migration.RampCheck]checkResult
}

type checkResult struct {
	at      time.Time
	refusal string // "" agrees
}

func newChecks() checks {
	return checks{directClient(), map[migration.RampCheck]checkResult{}}
}

// directClient follows no redirect: it is no answer of the address that the config names.
func directClient() *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       checkTimeout,
	}
}

// ask asks the addresses that are due.
func (c *checks) ask(ctx context.Context, services []migration.Service, now time.Time) {
	before := c.results
	c.results = map[migration.RampCheck]checkResult{}
	for i := range services {
		if services[i].Ramp == nil || services[i].EffectiveShare() == 0 {
			continue
		}
		for _, check := range services[i].Ramp.Checks {
			result, known := before[check]
			if !known || now.Sub(result.at) >= check.Every {
				result = checkResult{now, c.get(ctx, check)}
			}
			c.results[check] = result
		}
	}
}

func (c *checks) get(ctx context.Context, check migration.RampCheck) (refusal string) {
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

// gates are the checks of a service that do not agree.
func (c *checks) gates(r *migration.Ramp) []ramp.Gate {
	var gates []ramp.Gate
	for _, check := range r.Checks {
		if refusal := c.results[check].refusal; refusal != "" {
			gates = append(gates, ramp.Gate{Reason: ramp.ReasonCheck, Detail: fmt.Sprintf("%s: %s", check.Name, refusal)})
		}
	}
	return gates
}
