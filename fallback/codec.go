package fallback

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
)

// stateVersion changes when a State of before would be misread.
const stateVersion = 1

// longestText bounds each text of an Evidence, in bytes.
const longestText = 256

// clip makes sure that what is stored can be read back: JSON would replace
// bytes that are not UTF-8 by three others.
func clip(text string) string {
	return excerpt.Head(strings.ToValidUTF8(text, "?"), longestText)
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

// DecodeState reads what EncodeState wrote. Anything else, an unknown version
// too, gives Normal and an error: traffic then follows the config, and what
// fails is found again. Fields that are not known are ignored.
func DecodeState(text []byte) (State, error) {
	var stored storedState
	if err := json.Unmarshal(text, &stored); err != nil {
		return State{Phase: Normal}, fmt.Errorf("decode fallback state: %w; starting as Normal", err)
	}
	if stored.Version != stateVersion {
		return State{Phase: Normal}, fmt.Errorf("decode fallback state: version %d is not %d; starting as Normal", stored.Version, stateVersion)
	}
	stored.Since, stored.Until = stored.Since.UTC(), stored.Until.UTC()
	if what := stored.State.nonsense(); what != "" {
		return State{Phase: Normal}, fmt.Errorf("decode fallback state: %s; starting as Normal", what)
	}
	if len(stored.Evidence.RequestIDs) == 0 {
		stored.Evidence.RequestIDs = nil // [] is not written back
	}
	return stored.State, nil
}

// nonsense tells what no Step can have made.
func (s State) nonsense() string {
	automatic := !s.Manual && (s.Phase == FallenBack || s.Phase == Recovering)
	switch {
	case !slices.Contains([]Phase{Normal, FallenBack, Recovering}, s.Phase):
		return fmt.Sprintf("%.40q is not a phase", string(s.Phase))
	case len(s.Code) > longestText:
		return "the code is too long"
	case s.Doublings < 0 || s.Doublings > mostDoublings:
		return fmt.Sprintf("doublings: %d is not 0 to %d", s.Doublings, mostDoublings)
	case s.Manual && s.Phase != FallenBack:
		return "an operator's trip is always FallenBack"
	case automatic && s.Until.IsZero():
		return string(s.Phase) + " has no end"
	case s.Held && s.Phase == FallenBack:
		return "held back and FallenBack"
	case !writable(s.Since) || !writable(s.Until):
		return "a time is not of this age"
	}
	return s.Evidence.nonsense()
}

// writable: RFC 3339 has four digits for a year, and UTC may add a day.
func writable(t time.Time) bool { return t.Year() >= 1 && t.Year() < 9999 }

func (e Evidence) nonsense() string {
	long := func(text string) bool { return len(text) > longestText }
	switch {
	case e.Failures < 0 || e.Requests < 0 || e.Window < 0 || e.LastStatus < 0:
		return "a count is negative"
	case len(e.RequestIDs) > MostIDs || slices.ContainsFunc(e.RequestIDs, long):
		return "too many or too long request ids"
	case long(e.By) || long(string(e.LastFailure)) || long(e.LastError) || long(e.Probe):
		return "a text is too long"
	}
	return ""
}
