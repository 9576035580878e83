package ramp

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/migration-proxy/migration-proxy/migration"
)

// stateVersion changes when this code would misread an older State.
const stateVersion = 1

type storedState struct {
	Version int `json:"version"`
	State
}

// EncodeState writes a state as JSON, for DecodeState to read.
func EncodeState(s State) ([]byte, error) {
	text, err := json.Marshal(storedState{stateVersion, s})
	if err != nil {
		return nil, fmt.Errorf("encode the state of a ramp: %w", err)
	}
	return text, nil
}

// DecodeState reads the text that EncodeState wrote. Any other text, and an unknown
// version, gives a ramp that begins at 0 and an error.
func DecodeState(text []byte) (State, error) {
	var stored storedState
	if err := json.Unmarshal(text, &stored); err != nil {
		return State{}, fmt.Errorf("decode the state of a ramp: %w; it begins at 0", err)
	}
	if stored.Version != stateVersion {
		return State{}, fmt.Errorf("decode the state of a ramp: version %d is not %d; it begins at 0", stored.Version, stateVersion)
	}
	if problem := stored.problem(); problem != "" {
		return State{}, fmt.Errorf("decode the state of a ramp: %s; it begins at 0", problem)
	}
	stored.Since, stored.StepSince, stored.Until = stored.Since.UTC(), stored.StepSince.UTC(), stored.Until.UTC()
	return stored.State, nil
}

// EncodeStates writes the states of several services, for DecodeStates to read.
func EncodeStates[Name ~string](states map[Name]State) (string, error) {
	encoded := make(map[Name]json.RawMessage, len(states))
	for name, state := range states {
		text, err := EncodeState(state)
		if err != nil {
			return "", fmt.Errorf("service %s: %w", name, err)
		}
		encoded[name] = text
	}
	text, err := json.Marshal(encoded)
	if err == nil && len(text) > maxPlain {
		text, err = compress(text)
	}
	if err != nil {
		return "", fmt.Errorf("encode the states of the ramps: %w", err)
	}
	return string(text), nil
}

// A ConfigMap has room for 1 MiB, and a state has 1.2 KB. Up to maxPlain people can read
// the text; a larger one is compressed to a third. maxStates bounds what is read back.
const (
	maxPlain   = 256 << 10
	maxStates  = 64 << 20
	gzipPrefix = "gzip:" // base64 follows
)

func compress(text []byte) ([]byte, error) {
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	_, err := writer.Write(text)
	if err := errors.Join(err, writer.Close()); err != nil {
		return nil, err
	}
	return base64.StdEncoding.AppendEncode([]byte(gzipPrefix), packed.Bytes()), nil
}

func decompress(text string) ([]byte, error) {
	packed, isPacked := strings.CutPrefix(text, gzipPrefix)
	if !isPacked {
		return []byte(text), nil
	}
	reader, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(packed)))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(reader, maxStates))
}

// DecodeStates reads the states of several services, an object of what EncodeState
// wrote. It gives those that can be read; the error is about the others.
func DecodeStates[Name ~string](text string) (map[Name]State, error) {
	states := map[Name]State{}
	if text == "" {
		return states, nil
	}
	plain, err := decompress(text)
	if err != nil {
		return states, fmt.Errorf("decode the states of the ramps: %w", err)
	}
	var encoded map[Name]json.RawMessage
	if err := json.Unmarshal(plain, &encoded); err != nil {
		return states, fmt.Errorf("decode the states of the ramps: %w", err)
	}
	var failed []error
	for name, one := range encoded {
		state, err := DecodeState(one)
		if err != nil {
			failed = append(failed, fmt.Errorf("service %s: %w", name, err))
			continue
		}
		states[name] = state
	}
	return states, errors.Join(failed...)
}

var phases = []Phase{"", Off, Waiting, Measuring, Rising, Returning, Cooling, Done}

// problem describes what no Step can have made; "" for a valid state.
func (s State) problem() string {
	share := func(p migration.Share) bool { return p >= 0 && p <= migration.FullShare }
	year := func(y int) bool { return y >= 1 && y < 9999 }
	switch {
	case !slices.Contains(phases, s.Phase):
		return fmt.Sprintf("%.40q is not a phase of a ramp", string(s.Phase))
	case !share(s.Position) || !share(s.Target) || !share(s.BadAt) || !share(s.Approved):
		return "a position is not 0 to 100"
	case s.Phase == Returning && s.Target > s.Position:
		return "it returns to a higher position"
	case !year(s.Since.Year()) || !year(s.StepSince.Year()) || !year(s.Until.Year()):
		return "a time is outside the years 1 to 9998"
	case !s.Evidence.Failures.valid() || !s.Evidence.Slow.valid():
		return "a sum of the evidence is negative"
	}
	return ""
}

func (t *Tally) valid() bool {
	for _, one := range append(t.Bad[:], t.OldUnits, t.OldEvents, t.NewUnits, t.NewEvents, t.Above, t.Below, float64(t.Slots)) {
		if one < 0 || math.IsNaN(one) {
			return false
		}
	}
	return true
}
