package journal

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// SharePoint is a moment from which a service had another share.
type SharePoint struct {
	At time.Time
	// Share is the percentage in force: with a ramp, the smaller one of the percentage of
	// the config and of the position.
	Share float64
	Cause Entry
}

// noLimit is the position of a service without a ramp.
const noLimit = 100

// Shares gives the shares of one service, the oldest first. An entry after which the share
// is the same as before gives no point.
func Shares(entries []Entry) []SharePoint {
	var points []SharePoint
	position, ceiling := positionBefore(entries, 0), -1.0
	if i := slices.IndexFunc(entries, bringsRamp); i >= 0 {
		position = noLimit
	}
	for i, entry := range entries {
		to, err := strconv.ParseFloat(entry.To, 64)
		switch {
		case bringsRamp(entry):
			position = positionBefore(entries, i)
		case err != nil:
			continue
		case entry.Kind == Share:
			ceiling = to
		case isOfRamp(entry):
			position = to
			ceiling = max(ceiling, to) // it is never above: the entry about the percentage is lost
		default:
			continue
		}
		if ceiling < 0 {
			continue
		}
		share := min(ceiling, position)
		if last := len(points) - 1; last < 0 || points[last].Share != share {
			points = append(points, SharePoint{At: entry.At, Share: share, Cause: entry})
		}
	}
	return points
}

// Percent is a share as users write it.
func Percent(share float64) string { return strconv.FormatFloat(share, 'f', -1, 64) }

// positionBefore is the position of the ramp that the entries from one on are about. Without
// such an entry there is no ramp.
func positionBefore(entries []Entry, from int) float64 {
	for _, entry := range entries[from:] {
		if position, err := strconv.ParseFloat(entry.From, 64); err == nil && isOfRamp(entry) {
			return position
		}
	}
	return noLimit
}

// bringsRamp tells whether the ramp of the config was changed; then it may have come or gone.
func bringsRamp(entry Entry) bool {
	_, settings, _ := strings.Cut(entry.What, "(")
	return entry.Kind == Changed && slices.Contains(strings.Split(strings.TrimSuffix(settings, ")"), ", "), "ramp")
}

func isOfRamp(entry Entry) bool {
	switch entry.Kind {
	case RampAdvanced, RampReturned, RampNeedsYou, RampChanged:
		return true
	}
	return false
}
