package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/stretchr/testify/require"
)

// TestEditOfAnyNumber edits the percentage of each service in the text, as a user
// does in an editor. Each version gives exactly the written number for that service
// and does not change the other services.
func TestEditOfAnyNumber(t *testing.T) {
	t.Parallel()
	const services = 12
	current := string(manyServices(services))
	want := map[migration.Name]migration.Share{}
	for i := range services {
		want[migration.Name(fmt.Sprintf("service-%d", i))] = 2000
	}
	edits := []struct {
		text  string
		share migration.Share
	}{{"26", 2600}, {"6", 600}, {"2.6", 260}, {"0.26", 26}, {"100", 10000}, {"0", 0}, {"62.25", 6225}}
	for i := range services {
		name := migration.Name(fmt.Sprintf("service-%d", i))
		for _, edit := range edits {
			current = withNumber(t, current, name, edit.text)
			want[name] = edit.share
			table, err := config.Load("many.yaml", []byte(current))
			require.NoError(t, err)
			require.Equal(t, want, shares(table), "service %s, percentage %s", name, edit.text)
		}
	}
}

// withNumber replaces the characters after "percentage: " of one service.
func withNumber(t *testing.T, text string, service migration.Name, number string) string {
	t.Helper()
	at := strings.Index(text, fmt.Sprintf("name: %s\n", service))
	require.GreaterOrEqual(t, at, 0)
	start := at + strings.Index(text[at:], "percentage: ") + len("percentage: ")
	end := start + strings.Index(text[start:], "}")
	return text[:start] + number + text[end:]
}

func shares(table *migration.Table) map[migration.Name]migration.Share {
	all := map[migration.Name]migration.Share{}
	for _, service := range table.Services() {
		all[service.Name] = service.Share
	}
	return all
}
