package journal_test

import (
	"fmt"
	"strings"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/journal"
)

// One edit raises the percentage of a service and changes its fallback.
func ExampleConfigChanges() {
	text := `services:
  - name: shop
    old_host: shop.example.com
    old_backend: 127.0.0.1:8081
    new_host: shop.new.example.com
    new_backend: https://shop.new.example.com
    migration: {enabled: true, percentage: 5}
`
	before, err := config.Load("migration.yaml", []byte(text))
	if err != nil {
		fmt.Println(err)
		return
	}
	text = strings.Replace(text, "percentage: 5}", "percentage: 25}\n    fallback: {recovery_time: 600}", 1)
	after, err := config.Load("migration.yaml", []byte(text))
	if err != nil {
		fmt.Println(err)
		return
	}
	entries := journal.ConfigChanges(before, after)
	for _, entry := range entries {
		fmt.Printf("%s: %s\n", entry.Kind, entry)
	}
	fmt.Println(journal.Describe(entries))
	// Output:
	// share: shop percentage 5 -> 25
	// changed: shop settings changed (fallback)
	// shop percentage 5 -> 25; shop settings changed (fallback)
}
