package statusview

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"gopkg.in/yaml.v3"
)

// Format is how a status is printed.
type Format string

// The formats.
const (
	Table Format = "table"
	Wide  Format = "wide" // a table with more columns, and one row per replica
	JSON  Format = "json"
	YAML  Format = "yaml"
)

// ShortestInterval is the shortest interval for Watch.
const ShortestInterval = 100 * time.Millisecond

// Show prints the status once.
func Show(ctx context.Context, w io.Writer, from Source, format Format) error {
	now, err := from.read(ctx)
	if err != nil {
		return err
	}
	switch format {
	case JSON:
		return printJSON(w, now.json)
	case YAML:
		return printYAML(w, now.json)
	}
	return now.page.print(w, format == Wide)
}

// Watch prints the status every interval until ctx ends. A failure to read it
// is printed too, and read again: the proxy may be starting. On a terminal each
// status replaces the one before.
func Watch(ctx context.Context, w io.Writer, from Source, format Format, interval time.Duration) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	clearScreen := clearSequence(w)
	for {
		var text bytes.Buffer
		if err := Show(ctx, &text, from, format); err != nil && ctx.Err() == nil {
			fmt.Fprintln(&text, err)
		}
		if _, err := fmt.Fprintf(w, "%s%s\n", clearScreen, text.Bytes()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// clearSequence is what clears a terminal; "" for a file or a pipe.
func clearSequence(w io.Writer) string {
	file, ok := w.(*os.File)
	if !ok {
		return ""
	}
	info, err := file.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return ""
	}
	return "\033[H\033[2J"
}

func printJSON(w io.Writer, text []byte) error {
	var out bytes.Buffer
	if err := json.Indent(&out, bytes.TrimSpace(text), "", "  "); err != nil {
		return fmt.Errorf("print status: %w", err)
	}
	_, err := fmt.Fprintln(w, out.String())
	return err
}

// printYAML keeps the order of the fields: JSON is YAML in flow style, and only
// the style changes.
func printYAML(w io.Writer, text []byte) error {
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return fmt.Errorf("print status: %w", err)
	}
	setBlockStyle(&root)
	encoder := yaml.NewEncoder(w)
	encoder.SetIndent(2)
	return errors.Join(encoder.Encode(&root), encoder.Close())
}

func setBlockStyle(node *yaml.Node) {
	node.Style = 0
	for _, child := range node.Content {
		setBlockStyle(child)
	}
}
