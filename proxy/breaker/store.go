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

// load reads the state file: an object with a fallback state for each service
// that is not simply Normal. A state that makes no sense is left out; the
// error tells of all of them.
func load(file string) (states map[migration.Name]fallback.State, text []byte, err error) {
	text, err = os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, []byte("{}"), nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the fallback states: %w", err)
	}
	states, err = decode(text)
	return states, text, err
}

func decode(text []byte) (map[migration.Name]fallback.State, error) {
	var raw map[migration.Name]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("read the fallback states: %w", err)
	}
	states := make(map[migration.Name]fallback.State, len(raw))
	var all error
	for name, one := range raw {
		state, err := fallback.DecodeState(one)
		if err != nil {
			all = errors.Join(all, fmt.Errorf("service %q: %w", name, err))
			continue
		}
		states[name] = state
	}
	return states, all
}

// save writes all states in one step, unless the file says the same already:
// a reader sees those before or these.
func (g *Breaker) save() error {
	text, err := g.encode()
	if err != nil || bytes.Equal(text, g.saved) {
		return err
	}
	if err := atomicfile.Write(g.options.StateFile, text, 0o600); err != nil {
		return fmt.Errorf("write the fallback states: %w", err)
	}
	g.saved = text
	return nil
}

func (g *Breaker) encode() ([]byte, error) {
	raw := map[migration.Name]json.RawMessage{}
	for name, w := range g.watched {
		state := w.machine.State()
		if state.Phase == status.Migrating && state.Doublings == 0 {
			continue
		}
		text, err := fallback.EncodeState(state)
		if err != nil {
			return nil, err
		}
		raw[name] = text
	}
	text, err := json.MarshalIndent(raw, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the fallback states: %w", err)
	}
	return text, nil
}
