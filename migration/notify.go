package migration

// NotifyFormat is what a message to a NotifyTarget looks like.
type NotifyFormat string

// The formats.
const (
	NotifySlack NotifyFormat = "slack" // incoming webhooks of Slack
	NotifyTeams NotifyFormat = "teams" // webhooks of Teams Workflows, with an Adaptive Card
	NotifyJSON  NotifyFormat = "json"  // the entry of the journal as it is
)

// NotifyTarget is an address that is told what happens in a migration.
type NotifyTarget struct {
	// URLFile is a file of the watcher's pod with the address. The address is a secret:
	// everybody who knows it can write there.
	URLFile string
	Format  NotifyFormat
	// On are the kinds of entries of the journal that are sent.
	On []string
	// Services are those whose entries are sent, with the entries that concern all; nil:
	// all services.
	Services []Name `json:",omitempty"`
}
