package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/migration-proxy/migration-proxy/migration"
)

// ConfigChanges gives the differences between two configs as entries, by service. Without
// a table before there are none.
func ConfigChanges(before, after *migration.Table) []Entry {
	var entries []Entry
	if before == nil || after == nil || before.Digest() == after.Digest() {
		return nil
	}
	for i := range after.Services() {
		service := &after.Services()[i]
		old := before.Service(service.Name)
		if old == nil {
			entries = append(entries, added(service))
			continue
		}
		entries = append(entries, changesOf(knownService(old), service, Settings(old, service))...)
	}
	for i := range before.Services() {
		if old := &before.Services()[i]; after.Service(old.Name) == nil {
			entries = append(entries, removed(string(old.Name), knownService(old)))
		}
	}
	return entries
}

// Describe gives changes as one text: "shop percentage 5 -> 25; api added, percentage 5".
func Describe(entries []Entry) string {
	var sentences []string
	for _, entry := range grouped(entries) {
		sentences = append(sentences, oneLine(entry.String()))
	}
	return strings.Join(sentences, "; ")
}

func added(service *migration.Service) Entry {
	return Entry{
		Kind: Share, Service: string(service.Name), To: service.EffectiveShare().String(),
		What: "added, percentage " + service.Share.String() + ifDisabled(service.Enabled),
	}
}

func removed(name string, before KnownService) Entry {
	return Entry{Kind: Share, Service: name, From: before.effective(), To: "0", What: "removed from the config"}
}

func ifDisabled(enabled bool) string {
	if enabled {
		return ""
	}
	return " (disabled)"
}

// changesOf gives up to two entries: of the share, and of other settings.
func changesOf(before KnownService, service *migration.Service, settings []string) []Entry {
	after := knownService(service)
	name, from, to := string(service.Name), before.effective(), after.effective()
	var what []string
	if before.Percentage != after.Percentage {
		what = append(what, fmt.Sprintf("percentage %s -> %s%s", before.Percentage, after.Percentage, ifDisabled(after.Enabled)))
	}
	if before.Enabled != after.Enabled {
		what = append(what, fmt.Sprintf("enabled %t -> %t", before.Enabled, after.Enabled))
	}
	var entries []Entry
	if len(what) > 0 {
		entries = append(entries, Entry{Kind: Share, Service: name, From: from, To: to, What: strings.Join(what, ", ")})
	}
	if before.Settings != after.Settings {
		entries = append(entries, Entry{Kind: Changed, Service: name, What: strings.TrimSpace("settings changed " + list(settings))})
	}
	return entries
}

func list(settings []string) string {
	if len(settings) == 0 {
		return ""
	}
	return "(" + strings.Join(settings, ", ") + ")"
}

// keys are the settings whose key in the config is not the name of the field.
var keys = map[string]string{
	"max_body_bytes": "max_body_size",
}

// Settings names the settings that differ between two versions of a service, other than
// percentage and enabled.
func Settings(before, after *migration.Service) []string {
	var differ []string
	a, b := reflect.ValueOf(before).Elem(), reflect.ValueOf(after).Elem()
	for i := range a.NumField() {
		name := a.Type().Field(i).Name
		if name != "Share" && name != "Enabled" && !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			differ = append(differ, keyOf(name))
		}
	}
	slices.Sort(differ)
	return differ
}

// keyOf is new_backend for NewBackend, and ip_rules for IPRules.
func keyOf(field string) string {
	var key strings.Builder
	for i, c := range field {
		upper := c >= 'A' && c <= 'Z'
		startsWord := i > 0 && upper && (isLower(field, i-1) || isLower(field, i+1))
		if startsWord {
			key.WriteByte('_')
		}
		key.WriteString(strings.ToLower(string(c)))
	}
	if other, ok := keys[key.String()]; ok {
		return other
	}
	return key.String()
}

func isLower(text string, i int) bool { return i < len(text) && text[i] >= 'a' && text[i] <= 'z' }

// settingsDigest is that of everything except percentage and enabled.
func settingsDigest(service *migration.Service) string {
	rest := *service
	rest.Share, rest.Enabled = 0, false
	text, _ := json.Marshal(rest) // the table has a digest by the same text
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:4])
}

// TextDigest is a short digest of a config's text.
func TextDigest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}
