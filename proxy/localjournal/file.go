package localjournal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/migration-proxy/migration-proxy/internal/atomicfile"
	"github.com/migration-proxy/migration-proxy/journal"
)

// fileName is the journal in the runtime directory.
const fileName = "journal.json"

// Path is the file of a runtime directory.
func Path(runtimeDir string) string { return filepath.Join(runtimeDir, fileName) }

// Read gives the journal of a runtime directory; empty before the proxy has written any.
func Read(runtimeDir string) (journal.Journal, error) {
	data, err := readKeys(runtimeDir)
	if err != nil {
		return journal.Journal{}, err
	}
	all, err := journal.Parse(data[journal.EntriesKey])
	if err != nil {
		return journal.Journal{}, fmt.Errorf("%s: %w", Path(runtimeDir), err)
	}
	return all, nil
}

func readKeys(runtimeDir string) (map[string]string, error) {
	data := map[string]string{}
	text, err := os.ReadFile(Path(runtimeDir))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return data, nil
	case err != nil:
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	if err := json.Unmarshal(text, &data); err != nil {
		return nil, fmt.Errorf("read the journal %s: %w", Path(runtimeDir), err)
	}
	return data, nil
}

func writeKeys(runtimeDir string, data map[string]string) error {
	text, err := json.Marshal(data)
	if err == nil {
		err = atomicfile.Write(Path(runtimeDir), text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return nil
}
