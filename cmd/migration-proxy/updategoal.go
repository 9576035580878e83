package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/atomicfile"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// goal is what update is asked for.
type goal struct {
	service migration.Name
	enabled *bool // on or off; nil: the share
	share   migration.Share
}

func parseGoal(args []string) (goal, error) {
	name, err := migration.ParseName(args[0])
	if err != nil {
		return goal{}, usageError{err}
	}
	switch args[1] {
	case "on", "off":
		return goal{service: name, enabled: new(args[1] == "on")}, nil
	}
	share, err := migration.ParseShare(strings.TrimSuffix(args[1], "%"))
	if err != nil {
		return goal{}, wrongUsage("%w; or write on or off", err)
	}
	return goal{service: name, share: share}, nil
}

func (g goal) edit(name string, before []byte) (config.Edit, error) {
	if g.enabled != nil {
		return config.SetEnabled(name, before, g.service, *g.enabled)
	}
	return config.SetPercentage(name, before, g.service, g.share)
}

func (g goal) reached(s migration.Service) bool {
	if g.enabled != nil {
		return s.Enabled == *g.enabled
	}
	return s.Share == g.share
}

// plan does all that can fail and changes nothing. Name is what messages call
// the text.
func (g goal) plan(name string, before []byte) (change, error) {
	edit, err := g.edit(name, before)
	if err != nil {
		return change{}, err
	}
	return change{g, before, edit.Text, edit.After.Digest(), *edit.Before.Service(g.service), *edit.After.Service(g.service)}, nil
}

// change is a goal and the text that it leads to.
type change struct {
	goal
	before []byte
	after  []byte
	digest string // of the table after it
	was    migration.Service
	is     migration.Service
}

// write replaces the file, unless it says the same already.
func (c change) write(file string) error {
	if bytes.Equal(c.before, c.after) {
		return nil
	}
	return atomicfile.Replace(file, c.before, c.after)
}

// String is "api-name01: 20 % -> 50 %", or "api-name01: off -> on (20 %)".
func (c change) String() string {
	return fmt.Sprintf("%s: %s -> %s", c.service, c.show(c.was), c.show(c.is))
}

func (c change) show(s migration.Service) string {
	switch {
	case c.enabled == nil:
		return s.Share.String() + " %"
	case s.Enabled:
		return "on (" + s.Share.String() + " %)"
	}
	return "off"
}

// note is a line on what keeps the change from having the effect that it
// seems to have; "" when nothing does. Now is where the service is, as far as
// that is known.
func (c change) note(now status.Service) string {
	rules := newRules(c.is)
	toNew := c.enabled == nil && c.share > 0 || c.enabled != nil && *c.enabled
	switch {
	case toNew && !c.is.Enabled:
		return fmt.Sprintf("note: all goes to old, for the service is off; 'migration-proxy update %s on' ends that\n", c.service)
	case toNew && now.Phase.WorseThan(status.Migrating):
		return fmt.Sprintf("note: the service is %s: %s\n", now.Phase, now.Reason)
	case toNew && c.is.Share > 0 && c.is.EffectiveShare() == 0:
		return fmt.Sprintf("note: the percentage moves nobody, for the strategy is %s: only rules send requests to new\n", c.is.Strategy)
	case c.is.Enabled && c.is.Share == 0 && len(rules) > 0:
		return fmt.Sprintf("note: %s come before the percentage and send requests to new; 'migration-proxy update %s off' sends all to old\n",
			strings.Join(rules, ", "), c.service)
	}
	return ""
}

// newRules are the rules that send to new, as the config calls them.
func newRules(s migration.Service) []string {
	var found []string
	for i, rule := range s.HeaderRules {
		if rule.Target == migration.New {
			found = append(found, fmt.Sprintf("header_rules[%d]", i))
		}
	}
	for i, rule := range s.IPRules {
		if rule.Target == migration.New {
			found = append(found, fmt.Sprintf("ip_rules[%d]", i))
		}
	}
	return found
}

// rowOf is a service's row in a status; an empty one if there is none.
func rowOf(rows []status.Service, name migration.Name) status.Service {
	at := slices.IndexFunc(rows, func(s status.Service) bool { return s.Name == string(name) })
	if at < 0 {
		return status.Service{}
	}
	return rows[at]
}
