package demo

import (
	"context"
	"fmt"
	"os"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/migration"
)

const (
	users           = 200
	requestsPerUser = 3
)

// sides is the side of each user: "old", "new", or "both" for a user whose
// requests were not all answered by the same cluster.
type sides map[string]string

func (d *demo) keepUsersOnTheirSide(ctx context.Context) error {
	d.beginStep("Users stay where they are: service account, by the hash of X-User-ID")
	var seen [3]sides
	for i, percent := range []string{"30", "60", "30"} {
		if err := d.command(ctx, "update", "account", percent); err != nil {
			return err
		}
		seen[i] = d.askUsers(ctx)
	}
	at30, at60, again := seen[0], seen[1], seen[2]
	moved, back, differ := 0, 0, 0
	for user, side := range at30 {
		if side == "old" && at60[user] == "new" {
			moved++
		}
		if side == "new" && at60[user] != "new" {
			back++
		}
		if again[user] != side {
			differ++
		}
	}
	d.claim(back == 0, "30 -> 60 %%: %d of %d users went to new, %d came back", moved, len(at30), back)
	d.claim(differ == 0, "60 -> 30 %%: %d users are elsewhere than at 30 %% before", differ)
	return d.compareWithExplain(again)
}

// askUsers sends the requests of all users.
func (d *demo) askUsers(ctx context.Context) sides {
	seen := sides{}
	onBoth := 0
	for i := range users {
		user := fmt.Sprintf("user-%d", i)
		answers := d.ask(ctx, "account.example.com", "X-User-ID", user, requestsPerUser)
		switch requestsPerUser {
		case answers["old"]:
			seen[user] = "old"
		case answers["new"]:
			seen[user] = "new"
		default:
			seen[user] = "both"
			onBoth++
		}
	}
	d.claim(onBoth == 0, "%d users asked three times each, %d saw more than one side", len(seen), onBoth)
	return seen
}

// compareWithExplain claims that migration.Table.Decide, which explain prints,
// agrees with what nginx did.
func (d *demo) compareWithExplain(seen sides) error {
	text, err := os.ReadFile(d.config)
	if err != nil {
		return fmt.Errorf("read config: %w", err)
	}
	table, err := config.Load(d.config, text)
	if err != nil {
		return err
	}
	wrong := 0
	for user, side := range seen {
		decision := table.Decide(migration.Request{
			Host: "account.example.com", Target: "/",
			Header: map[string]string{migration.HeaderName("X-User-ID").Key(): user},
		})
		if string(decision.Side) != side {
			wrong++
		}
	}
	d.claim(wrong == 0, "explain, from the file alone, is wrong about %d of them", wrong)
	return nil
}
