package finish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"sigs.k8s.io/yaml"

	"github.com/migration-proxy/migration-proxy/finish"
)

// Format is how the checklist is printed.
type Format string

// The formats.
const (
	Table Format = "table"
	JSON  Format = "json"
)

// ErrUnsaid says that a manifest needs a person before it can be applied.
var ErrUnsaid = errors.New("the manifest does not say everything; see the comments at its beginning")

// document is what -o json prints: field names are an interface.
type document struct {
	Service string        `json:"service"`
	Host    string        `json:"host"`
	Done    bool          `json:"done"`
	Items   []finish.Item `json:"items"`
}

func write(w io.Writer, facts finish.Facts, items []finish.Item, format Format) error {
	var text bytes.Buffer
	if format == JSON {
		encoder := json.NewEncoder(&text)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(document{string(facts.Service.Name), facts.Host, finish.AllDone(items), items}); err != nil {
			return fmt.Errorf("print the checklist: %w", err)
		}
	} else {
		writeItems(&text, facts, items)
	}
	return flush(w, &text)
}

func flush(w io.Writer, text *bytes.Buffer) error {
	if _, err := w.Write(text.Bytes()); err != nil {
		return fmt.Errorf("print the checklist: %w", err)
	}
	return nil
}

// boxes are the states as a person ticks them off.
var boxes = map[finish.State]string{finish.Done: "[x]", finish.NotDone: "[ ]", finish.Unknown: "[?]"}

func writeItems(text *bytes.Buffer, facts finish.Facts, items []finish.Item) {
	ticked := 0
	for _, item := range items {
		if item.State == finish.Done {
			ticked++
		}
	}
	fmt.Fprintf(text, "%s (%s): %d of %d done\n", facts.Service.Name, facts.Host, ticked, len(items))
	for _, item := range items {
		fmt.Fprintf(text, "%s %s: %s\n", boxes[item.State], item.Title, item.Reason)
		if item.WayOut != "" {
			fmt.Fprintf(text, "      do: %s\n", item.WayOut)
		}
		for _, line := range item.Details {
			fmt.Fprintf(text, "      %s\n", line)
		}
	}
}

// writeNext prints what comes after the checklist.
func writeNext(ctx context.Context, w io.Writer, from Source, facts finish.Facts) error {
	var text bytes.Buffer
	name := facts.Service.Name
	fmt.Fprintf(&text, "\nnow switch the DNS record (above), then see what still arrives at the old cluster:\n"+
		"  migration-proxy finish %s --watch\nwhen that says that old may go:\n", name)
	ingresses, err := from.ingresses(ctx, facts.Service.OldHost)
	for _, line := range optOut(ingresses, err) {
		fmt.Fprintf(&text, "  %s\n", line)
	}
	fmt.Fprintf(&text, "  migration-proxy report %s -o html > %s.html\n  # then remove service %s from the migration config, and the application from the old cluster\n", name, name, name)
	return flush(w, &text)
}

func writeManifest(w io.Writer, manifest finish.Manifest) error {
	var text bytes.Buffer
	for _, line := range manifest.Unsaid {
		fmt.Fprintf(&text, "# %s\n", line)
	}
	object, err := withoutStatus(manifest.Object)
	if err != nil {
		return err
	}
	text.Write(object)
	if err := flush(w, &text); err != nil {
		return err
	}
	if len(manifest.Unsaid) > 0 {
		return ErrUnsaid
	}
	return nil
}

// withoutStatus is the YAML of an object as a person writes it.
func withoutStatus(object any) ([]byte, error) {
	text, err := json.Marshal(object)
	fields := map[string]any{}
	if err == nil {
		err = json.Unmarshal(text, &fields)
	}
	if err != nil {
		return nil, fmt.Errorf("encode the manifest: %w", err)
	}
	delete(fields, "status")
	if meta, ok := fields["metadata"].(map[string]any); ok {
		delete(meta, "creationTimestamp")
	}
	out, err := yaml.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("encode the manifest: %w", err)
	}
	return out, nil
}
