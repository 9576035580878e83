package localramp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/migration-proxy/migration-proxy/internal/atomicfile"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
)

// stateFile has positions and states; commandsFile, what people want. The latter is in
// the folder of the control socket, which only the agent's own user may enter.
const (
	stateFile    = "ramp.json"
	commandsFile = "control/ramp-commands.json"
)

// Read gives the data of the ramps of a runtime directory, with the keys of ConfigMap
// migration-ramp. It is empty before the first tick.
func Read(runtimeDir string) (map[string]string, error) {
	data := map[string]string{}
	text, err := os.ReadFile(filepath.Join(runtimeDir, stateFile))
	if err == nil {
		err = json.Unmarshal(text, &data)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return map[string]string{}, fmt.Errorf("read the ramps: %w", err)
	}
	text, err = os.ReadFile(filepath.Join(runtimeDir, commandsFile))
	switch {
	case err == nil:
		data[status.CommandsKey] = string(text)
	case !errors.Is(err, fs.ErrNotExist):
		return data, fmt.Errorf("read the commands of ramps: %w", err)
	}
	return data, nil
}

// WriteCommand gives a command to the agent of a runtime directory, which takes it at its
// next tick. The error says that nobody with the rights of this process may.
func WriteCommand(runtimeDir, service string, command status.RampCommand) error {
	data, err := Read(runtimeDir)
	if err != nil {
		return err
	}
	text, err := status.WithCommand(data, service, command)
	if err == nil {
		err = atomicfile.Write(filepath.Join(runtimeDir, commandsFile), []byte(text), 0o600)
	}
	if err != nil {
		return fmt.Errorf("write the command: %w; name the runtime directory of a running agent, and be its user", err)
	}
	return nil
}

func (r *Ramps) save(results map[migration.Name]result, positions status.Positions) error {
	states := make(map[migration.Name]ramp.State, len(results))
	for name, one := range results {
		states[name] = one.state
	}
	machine, err := ramp.EncodeStates(states)
	if err != nil {
		return fmt.Errorf("write the ramps: %w", err)
	}
	where, err := json.Marshal(positions)
	if err != nil {
		return fmt.Errorf("write the positions: %w", err)
	}
	text, err := json.Marshal(map[string]string{status.MachineKey: machine, status.PositionsKey: string(where)})
	if err == nil {
		err = atomicfile.Write(filepath.Join(r.options.RuntimeDir, stateFile), text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write the ramps: %w", err)
	}
	return nil
}
