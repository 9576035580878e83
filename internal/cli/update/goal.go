package update

import (
	"fmt"
	"strings"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/migration"
)

// Goal is the value that one service must have: a percentage, or on or off.
type Goal struct {
	service  migration.Name
	isSwitch bool // the goal is enabled, else share
	enabled  bool
	share    migration.Share
}

// ParseGoal reads a service's name and its value: "20", "0.25%", "on" or "off".
func ParseGoal(name, value string) (Goal, error) {
	service, err := migration.ParseName(name)
	if err != nil {
		return Goal{}, err
	}
	if value == "on" || value == "off" {
		return Goal{service: service, isSwitch: true, enabled: value == "on"}, nil
	}
	share, err := migration.ParseShare(strings.TrimSuffix(value, "%"))
	if err != nil {
		return Goal{}, fmt.Errorf("%w; or write on or off", err)
	}
	return Goal{service: service, share: share}, nil
}

// edit changes the text. Name is what messages call it.
func (g Goal) edit(name string, text []byte) (config.Edit, error) {
	if g.isSwitch {
		return config.SetEnabled(name, text, g.service, g.enabled)
	}
	return config.SetPercentage(name, text, g.service, g.share)
}

func (g Goal) reachedBy(s migration.Service) bool {
	if g.isSwitch {
		return s.Enabled == g.enabled
	}
	return s.Share == g.share
}

// movesToNew tells whether the user wants new to get requests.
func (g Goal) movesToNew() bool {
	if g.isSwitch {
		return g.enabled
	}
	return g.share > 0
}

// text shows the value of the service that the goal is about: "20 %", "on (20
// %)" or "off".
func (g Goal) text(s migration.Service) string {
	switch {
	case !g.isSwitch:
		return s.Share.String() + " %"
	case s.Enabled:
		return "on (" + s.Share.String() + " %)"
	}
	return "off"
}
