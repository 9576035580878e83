package breaker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/internal/atomicfile"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// readStates reads the state file, and also gives its text: a JSON object with
// a fallback state for each service that is not simply Migrating. Invalid
// states are left out; the error is about all of them.
func readStates(file string) (states map[migration.Name]fallback.State, text []byte, err error) {
	text, err = os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, []byte("{}"), nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read fallback states: %w", err)
	}
	states, err = parseStates(text)
	return states, text, err
}

func parseStates(text []byte) (map[migration.Name]fallback.State, error) {
	var encoded map[migration.Name]json.RawMessage
	if err := json.Unmarshal(text, &encoded); err != nil {
		return nil, fmt.Errorf("read fallback states: %w", err)
	}
	states := make(map[migration.Name]fallback.State, len(encoded))
	var errs []error
	for name, stateText := range encoded {
		state, err := fallback.DecodeState(stateText)
		if err != nil {
			errs = append(errs, fmt.Errorf("service %q: %w", name, err))
			continue
		}
		states[name] = state
	}
	return states, errors.Join(errs...)
}

// writeStates writes all states in one step, so that a reader sees either the
// previous states or these. It writes nothing when the file has these states.
func (b *Breaker) writeStates() {
	text, err := b.encodeStates()
	if err == nil && !bytes.Equal(text, b.written) {
		err = atomicfile.Write(b.options.StateFile, text, 0o600)
	}
	if err != nil {
		b.options.Log.Error("fallback states not written, a restart would forget the last transitions", "error", err)
		return
	}
	b.written = text
}

func (b *Breaker) encodeStates() ([]byte, error) {
	encoded := map[migration.Name]json.RawMessage{}
	for name, s := range b.services {
		state := s.machine.State()
		if state.Phase == status.Migrating && state.Doublings == 0 {
			continue
		}
		text, err := fallback.EncodeState(state)
		if err != nil {
			return nil, err
		}
		encoded[name] = text
	}
	return json.MarshalIndent(encoded, "", "  ")
}
