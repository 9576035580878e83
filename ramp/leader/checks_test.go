package leader

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
)

// TestChecks: an address is asked once in its time, and anything but 2xx of itself is a
// closed gate.
func TestChecks(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/good", http.StatusFound)
		case "/bad":
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(server.Close)
	check := func(name string) migration.RampCheck {
		return migration.RampCheck{Name: name, URL: server.URL + "/" + name, Every: time.Minute}
	}
	services := []migration.Service{
		{Name: "shop", Enabled: true, Share: 5000, Strategy: migration.StrategyWeight, Ramp: &migration.Ramp{Checks: []migration.RampCheck{check("good"), check("bad"), check("moved")}}},
		{Name: "off", Share: 5000, Strategy: migration.StrategyWeight, Ramp: &migration.Ramp{Checks: []migration.RampCheck{check("never")}}},
	}
	checks := NewChecks(10 * time.Second)
	checks.Ask(t.Context(), services, noon)
	require.Equal(t, []ramp.Gate{
		{Reason: ramp.ReasonCheck, Detail: "bad: it answers 503 Service Unavailable"},
		{Reason: ramp.ReasonCheck, Detail: "moved: it answers 302 Found"},
	}, checks.Gates(services[0].Ramp))
	require.Empty(t, checks.Gates(services[1].Ramp))
	checks.Ask(t.Context(), services, noon.Add(59*time.Second))
	require.EqualValues(t, 3, asked.Load())
	checks.Ask(t.Context(), services, noon.Add(time.Minute))
	require.EqualValues(t, 6, asked.Load())
}

func TestCommand(t *testing.T) {
	t.Parallel()
	commands := status.Commands{Services: map[string]status.RampCommand{"shop": {ID: "1", Verb: "skip", Share: 0.29, By: "alice"}}}
	require.Equal(t, &ramp.Command{ID: "1", Verb: ramp.Skip, Position: 29, By: "alice"}, Command(commands, "shop"))
	require.Nil(t, Command(commands, "other"))
}
