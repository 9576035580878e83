package config_test

import (
	"fmt"

	"github.com/migration-proxy/migration-proxy/config"
)

// All problems are reported at once, each with its place and a way out.
func ExampleLoad() {
	_, err := config.Load("migration.yaml", []byte(`services:
  - name: shop
    old_hots: shop.example.com
    old_backend: 127.0.0.1:8081
    new_host: shop.new.example.com
    new_backend: https://shop.new.example.com
    migration: {enabled: true, strategy: weight, percentage: 120}
`))
	fmt.Println(err)
	// Output:
	// migration.yaml:2:5: services[0].old_host: is missing; host that clients request; it may begin with *. for any labels before the rest
	// migration.yaml:3:5: services[0].old_hots: unknown key; did you mean "old_host"?
	// migration.yaml:7:62: services[0].migration.percentage: 120 is out of range: a percentage goes from 0 to 100
}

func ExampleSetPercentage() {
	edit, err := config.SetPercentage("migration.yaml", []byte(`services:
  - name: shop # the comment stays
    old_host: shop.example.com
    old_backend: 127.0.0.1:8081
    new_host: shop.new.example.com
    new_backend: https://shop.new.example.com
    migration: {enabled: true, strategy: weight, percentage: 5}
`), "shop", 2500)
	fmt.Println(edit.Before.Service("shop").Share, "->", edit.After.Service("shop").Share, err)
	// Output: 5 -> 25 <nil>
}
