package migration_test

import (
	"fmt"

	"github.com/migration-proxy/migration-proxy/migration"
)

// At 20 %, one fifth of the requests go to new. A disabled service sends all to old.
func ExampleService_Decide() {
	service := migration.Service{Enabled: true, Strategy: migration.StrategyWeight, Share: 2000}
	onNew := 0
	for request := range 10_000 {
		if service.Decide(migration.Request{Dice: fmt.Sprint(request)}).Side == migration.New {
			onNew++
		}
	}
	fmt.Println(onNew/100, "% on new")
	service.Enabled = false
	fmt.Println("disabled:", service.Decide(migration.Request{Dice: "1"}).Side)
	// Output:
	// 20 % on new
	// disabled: old
}

func ExampleParseShare() {
	share, err := migration.ParseShare("12.5")
	fmt.Println(int(share), share, err)
	_, err = migration.ParseShare("120")
	fmt.Println(err)
	// Output:
	// 1250 12.5 <nil>
	// 120 is out of range: a percentage goes from 0 to 100
}
