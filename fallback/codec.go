package fallback

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// stateVersion changes when this code would misread an older State.
const stateVersion = 1

// maxTextBytes limits each text of an Evidence.
const maxTextBytes = 256

// clip shortens a text and replaces bytes that are not UTF-8, which JSON
// cannot keep.
func clip(text string) string {
	return excerpt.Head(strings.ToValidUTF8(text, "?"), maxTextBytes)
}

type storedState struct {
	Version int `json:"version"`
	State
}

// EncodeState writes a state as JSON, for DecodeState to read.
func EncodeState(s State) ([]byte, error) {
	text, err := json.Marshal(storedState{stateVersion, s})
	if err != nil {
		return nil, fmt.Errorf("encode fallback state: %w", err)
	}
	return text, nil
}

// DecodeState reads the text that EncodeState wrote. Any other text, or an
// unknown version, gives Migrating and an error: traffic then follows the
// config, and failures are counted anew. Unknown fields are ignored.
func DecodeState(text []byte) (State, error) {
	var stored storedState
	if err := json.Unmarshal(text, &stored); err != nil {
		return State{Phase: status.Migrating}, fmt.Errorf("decode fallback state: %w; starting as Migrating", err)
	}
	if stored.Version != stateVersion {
		return State{Phase: status.Migrating}, fmt.Errorf("decode fallback state: version %d is not %d; starting as Migrating", stored.Version, stateVersion)
	}
	stored.Since, stored.Until = stored.Since.UTC(), stored.Until.UTC()
	if problem := stored.problem(); problem != "" {
		return State{Phase: status.Migrating}, fmt.Errorf("decode fallback state: %s; starting as Migrating", problem)
	}
	if len(stored.Evidence.RequestIDs) == 0 {
		stored.Evidence.RequestIDs = nil // EncodeState omits an empty list
	}
	return stored.State, nil
}

// problem describes what no Step can have made; "" for a valid state.
func (s State) problem() string {
	automatic := !s.Manual && (s.Phase == status.FallenBack || s.Phase == status.Recovering)
	e := s.Evidence
	switch {
	case !slices.Contains([]status.Phase{status.Migrating, status.FallenBack, status.Recovering}, s.Phase):
		return fmt.Sprintf("%.40q is not a phase of the fallback", string(s.Phase))
	case s.Doublings < 0 || s.Doublings > maxDoublings:
		return fmt.Sprintf("doublings: %d is not 0 to %d", s.Doublings, maxDoublings)
	case s.Manual && s.Phase != status.FallenBack:
		return "an operator's trip is always FallenBack"
	case automatic && s.Until.IsZero():
		return string(s.Phase) + " has no end"
	case s.Held && s.Phase == status.FallenBack:
		return "held back and FallenBack at once"
	case !writable(s.Since) || !writable(s.Until):
		return "a time is outside the years 1 to 9998"
	case e.Failures < 0 || e.Requests < 0 || e.Window < 0 || e.LastStatus < 0:
		return "a count is negative"
	}
	return ""
}

// writable reports whether a time can be written as RFC 3339, whose years have
// four digits. UTC may be a day later.
func writable(t time.Time) bool { return t.Year() >= 1 && t.Year() < 9999 }
