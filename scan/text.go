package scan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/migration-proxy/migration-proxy/migration"
)

// Placeholder stands for what nobody but the user knows: where new is. Package config
// refuses it by name.
const Placeholder = migration.Placeholder

const textHeader = `# The services of a migration config, one for each application that Ingresses name.
# Everything goes to old. Write in the place of ` + Placeholder + ` where the new cluster
# serves each application, and check it with 'migration-proxy validate FILE'.
`

// Text is the suggestions as a migration config, with Placeholder for new_host and in
// new_backend.
func Text(suggestions []Suggestion) string {
	if len(suggestions) == 0 {
		return textHeader + "services: []\n"
	}
	var text strings.Builder
	text.WriteString(textHeader + "services:\n")
	for _, s := range suggestions {
		text.WriteString(s.text())
	}
	return text.String()
}

func (s Suggestion) text() string {
	lines := []string{
		fmt.Sprintf("  - name: %q", s.Name),
		fmt.Sprintf("    old_host: %q", s.OldHost),
		fmt.Sprintf("    path_prefix: %q", s.PathPrefix),
		fmt.Sprintf("    old_backend: %q", s.OldBackend),
		fmt.Sprintf("    new_host: %s", Placeholder),
		fmt.Sprintf("    new_backend: %s:443", Placeholder),
		"    migration: {enabled: true, percentage: 0}",
	}
	if s.PortUnknown != "" {
		lines[3] = fmt.Sprintf("    old_backend: \"%s://%s:%s\" # the number of port %s", s.OldBackend.Scheme, s.OldBackend.Host, Placeholder, s.PortUnknown)
	}
	if s.GRPC {
		lines = append(lines, "    protocol: grpc")
	}
	return strings.Join(lines, "\n") + "\n"
}

// Loadable is a Text that package config loads: with a name for new that leads
// nowhere, and port 1 for a port that is not known.
func Loadable(text string) string {
	return strings.NewReplacer(Placeholder+":443", nowhere+":443", ":"+Placeholder, ":1", Placeholder, nowhere).Replace(text)
}

// nowhere is a host that does not exist (RFC 2606).
const nowhere = "new.invalid"

func sortedKeys[K ~string, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
