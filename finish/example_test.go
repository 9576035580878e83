package finish_test

import (
	"fmt"
	"time"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/finish"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/journal"
)

// All requests go to new since two days ago, and the circuit breaker tripped three hours
// ago. New cannot be asked from here, so what it would answer is not known.
func ExampleCheck() {
	table, err := config.Load("migration.yaml", []byte(`services:
  - name: shop
    old_host: shop.example.com
    old_backend: 127.0.0.1:8081
    new_host: shop.new.example.com
    new_backend: https://shop.new.example.com
    migration: {enabled: true, percentage: 100}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	items := finish.Check(finish.Facts{
		Now: now, Quiet: 24 * time.Hour, Service: table.Service("shop"), Host: "shop.example.com",
		Replicas: []finish.Replica{{Name: "proxy-a", Row: status.Service{Share: 100, Phase: status.Migrating}}},
		Journal: journal.Journal{}.Append(
			journal.Entry{At: now.Add(-48 * time.Hour), Kind: journal.Share, Service: "shop", From: "25", To: "100", What: "percentage 25 -> 100"},
			journal.Entry{At: now.Add(-3 * time.Hour), Kind: journal.Tripped, Service: "shop", What: "tripped in replica proxy-a", Why: "5 failures in 60s"},
		),
		Unreachable: "no route to shop.new.example.com:443",
		DNS: finish.DNS{
			Server: "ns1.example.com", Authoritative: true,
			Chain: []finish.Record{{Name: "shop.example.com", Type: "A", Value: "192.0.2.1", TTL: time.Hour}},
		},
	})
	for _, item := range items {
		fmt.Printf("%s: %s\n", item.State, item.Title)
		if item.State == finish.NotDone {
			fmt.Printf("- %s\n- %s\n", item.Reason, item.WayOut)
		}
	}
	fmt.Println("the migration can end:", finish.AllDone(items))
	// Output:
	// done: all requests go to new
	// not_done: quiet for 24h
	// - 2026-01-02 09:00 UTC shop tripped in replica proxy-a: 5 failures in 60s
	// - find out why ('migration-proxy report shop'), and wait until 2026-01-03 09:00 UTC
	// unknown: new has a certificate for shop.example.com
	// unknown: new answers as shop.example.com
	// unknown: nothing needs our translation
	// not_done: the DNS record may change soon
	// - the TTL of shop.example.com is 1h: the way back would take as long
	// - lower it to 60 now, and change nothing else for 1h: only then have all resolvers forgotten the old one
	// done: who changes the DNS record is known
	// the migration can end: false
}
