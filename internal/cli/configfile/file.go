// Package configfile reads a migration config that the user names: a file, or
// standard input.
//
// Takes:
//   - a path; "-" is standard input
//
// Gives:
//   - the text and what messages call it, or the loaded table
//
// Refuses:
//   - what cannot be read, and what config.Load refuses (config.Problems)
package configfile

import (
	"fmt"
	"io"
	"os"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/migration"
)

// Read reads the text at path. Name is what messages call it.
func Read(path string, stdin io.Reader) (name string, text []byte, err error) {
	if path == "-" {
		text, err := config.ReadAll(stdin)
		return "<stdin>", text, err
	}
	file, err := os.Open(path)
	if err != nil {
		return "", nil, fmt.Errorf("read config: %w", err)
	}
	defer func() { _ = file.Close() }() // only read
	text, err = config.ReadAll(file)
	return path, text, err
}

// Load reads the text at path and loads it.
func Load(path string, stdin io.Reader) (*migration.Table, error) {
	name, text, err := Read(path, stdin)
	if err != nil {
		return nil, err
	}
	return config.Load(name, text)
}
