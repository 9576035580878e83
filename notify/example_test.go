package notify_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/notify"
)

// A message for Slack: service shop fell back.
func ExampleBody() {
	entry := journal.Entry{
		ID: 7, At: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC), Kind: journal.FellBack, Service: "shop",
		From: "Migrating", To: "FallenBack", What: "fell back to old", Why: "2 of 3 ready replicas fell back",
	}
	body, err := notify.Body(migration.NotifySlack, entry)
	if err != nil {
		fmt.Println(err)
		return
	}
	var indented bytes.Buffer
	_ = json.Indent(&indented, body, "", "  ")
	fmt.Println(&indented)
	// Output:
	// {
	//   "blocks": [
	//     {
	//       "text": {
	//         "emoji": false,
	//         "text": "shop: fell back to old",
	//         "type": "plain_text"
	//       },
	//       "type": "header"
	//     },
	//     {
	//       "text": {
	//         "emoji": false,
	//         "text": "why: 2 of 3 ready replicas fell back\nbefore: Migrating\nafter: FallenBack\njournal: entry 7, fell_back, 2026-01-01 12:00:00 UTC",
	//         "type": "plain_text"
	//       },
	//       "type": "section"
	//     }
	//   ],
	//   "text": "shop: fell back to old"
	// }
}
