package ramp_test

import (
	"fmt"
	"time"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/ramp"
)

// Half a percent of old's requests fail. At 5 % new is as good, so the share rises to 25 %.
// There a tenth of new's requests fail, and 20 seconds later the share is at 5 % again.
func ExampleStep() {
	table, err := config.Load("migration.yaml", []byte(`services:
  - name: shop
    old_host: shop.example.com
    old_backend: 127.0.0.1:8081
    new_host: shop.new.example.com
    new_backend: https://shop.new.example.com
    migration: {enabled: true, percentage: 100, ramp: {steps: [5, 25, 99], hold: 5m}}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	shop := ramp.ConfigOf(table, table.Service("shop"))
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	var state ramp.State
	for range 60 { // ten minutes
		toNew := uint64(4000 * state.Position.Percent() / 100) // of 4000 requests in ten seconds
		slot := ramp.Slot{
			Old: ramp.Counts{Requests: 4000 - toNew, Failed: (4000 - toNew) / 200},
			New: ramp.Counts{Requests: toNew, Failed: toNew / 200},
		}
		if state.Position == 2500 {
			slot.New.Failed = toNew / 10
		}
		var decision ramp.Decision
		state, decision = ramp.Step(shop, state, ramp.Sample{Slot: slot}, now)
		if decision.From != decision.To {
			fmt.Printf("%s %s -> %s %%, %s: %s\n", now.Format(time.TimeOnly), decision.From, decision.To, decision.Phase, decision.Why)
		}
		now = now.Add(10 * time.Second)
	}
	// Output:
	// 12:00:00 0 -> 5 %, rising: the first step
	// 12:05:10 5 -> 25 %, rising: 6000 of 600 requests, 5m of 5m, failures 1 (0.69 to 1.4) times old's (30 of 6000, old 570 of 114000)
	// 12:05:30 25 -> 5 %, cooling: new is bad: 1000 of 600 requests, 10s of 5m, failures 22 (13 to 38) times old's (100 of 1000, old 15 of 3000)
}
