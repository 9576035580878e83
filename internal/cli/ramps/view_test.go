package ramps_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/cli/ramps"
	"github.com/migration-proxy/migration-proxy/internal/golden"
	"github.com/migration-proxy/migration-proxy/internal/rampview"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
)

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// service is a service of a config with a ramp to 99 %.
func service(name string, percentage int) string {
	return fmt.Sprintf("- {name: %[1]s, old_host: %[1]s.example, old_backend: 'a:80', new_host: b, new_backend: 'b:80', "+
		"migration: {enabled: true, percentage: %d, ramp: {hold: 30m, steps: [1, 5, {to: 25, ask: true}, 99]}}}\n", name, percentage)
}

func load(t *testing.T, services string) *migration.Table {
	t.Helper()
	table, err := config.Load("test", []byte("services:\n"+services))
	require.NoError(t, err)
	return table
}

// machine is the text of states.
func machine(t *testing.T, states map[string]ramp.State) map[string]string {
	t.Helper()
	encoded := map[string]json.RawMessage{}
	for name, state := range states {
		text, err := ramp.EncodeState(state)
		require.NoError(t, err)
		encoded[name] = text
	}
	text, err := json.Marshal(encoded)
	require.NoError(t, err)
	return map[string]string{status.MachineKey: string(text)}
}

// measured is a state that the steps of a ramp at 5 % have made, until noon.
func measured(t *testing.T, table *migration.Table, name string, minutes int, failed uint64) ramp.State {
	t.Helper()
	c, begin := ramp.ConfigOf(table, table.Service(migration.Name(name))), noon.Add(time.Duration(-minutes)*time.Minute)
	state := ramp.State{Phase: ramp.Measuring, Position: 500, Since: begin, StepSince: begin, Structure: c.Structure}
	for now := begin.Add(10 * time.Second); now.Before(noon); now = now.Add(10 * time.Second) {
		state, _ = ramp.Step(c, state, ramp.Sample{Slot: ramp.Slot{
			Old: ramp.Counts{Requests: 90, Failed: 1}, New: ramp.Counts{Requests: 5, Failed: failed}, Timed: true,
		}}, now)
	}
	return state
}

// TestRows has a service in each kind of state.
func TestRows(t *testing.T) {
	t.Parallel()
	table := load(t, service("asks", 100)+service("bad", 100)+service("begins", 100)+service("ceiling", 10)+service("cools", 100)+
		service("done", 99)+service("held", 100)+service("measures", 100)+service("off", 0)+
		"- {name: plain, old_host: plain.example, old_backend: 'a:80', new_host: b, new_backend: 'b:80', migration: {percentage: 5}}\n")
	at := func(phase ramp.Phase, position migration.Share) ramp.State {
		return ramp.State{Phase: phase, Position: position, Since: noon, StepSince: noon}
	}
	cools := at(ramp.Cooling, 500)
	cools.BadAt, cools.Until = 2500, noon.Add(5*time.Minute)
	held := at(ramp.Waiting, 2500)
	held.Reason, held.Held = ramp.ReasonHeld, &ramp.Hold{By: "alice", Reason: "sale"}
	held.Detail = held.Held.String()
	ceiling := at(ramp.Waiting, 1000)
	ceiling.Reason, ceiling.Detail = ramp.ReasonCeiling, "percentage is 10"
	states := map[string]ramp.State{
		"asks": measured(t, table, "asks", 40, 0), "bad": measured(t, table, "bad", 1, 5), "ceiling": ceiling, "cools": cools, "done": at(ramp.Done, 9900), "held": held,
		"measures": measured(t, table, "measures", 12, 0), "off": at(ramp.Measuring, 500),
	}
	rows, err := rampview.Rows(table, machine(t, states), noon)
	require.NoError(t, err)
	require.Len(t, rows, 9)
	for format, file := range map[ramps.Format]string{ramps.Table: "rows.txt", ramps.JSON: "rows.json"} {
		var text bytes.Buffer
		require.NoError(t, ramps.Write(&text, rows, format))
		golden.Check(t, "testdata/"+file, text.Bytes())
	}
}

func TestUnreadableState(t *testing.T) {
	t.Parallel()
	_, err := rampview.Rows(load(t, service("shop", 5)), map[string]string{status.MachineKey: `{"shop":{"version":99}}`}, noon)
	require.ErrorContains(t, err, "service shop")
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "step", "step=", "step=0", "step=101", "50", "ready"} {
		_, err := ramps.ParseGoal("shop", text)
		require.ErrorContains(t, err, "use done, or step=25", text)
	}
	for _, text := range []string{"done", "step=25", "step=0.5%"} {
		_, err := ramps.ParseGoal("shop", text)
		require.NoError(t, err, text)
	}
	_, err := ramps.ParseOrder("shop", "up", "")
	require.ErrorContains(t, err, `"up": use approve, hold, resume, skip, back`)
	_, err = ramps.ParseOrder("shop", "hold", "two\nlines")
	require.ErrorContains(t, err, "--reason: one line")
}
