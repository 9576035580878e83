package journal

import (
	"encoding/json"
	"fmt"
	"time"
)

// Note is what admission knows of one write that it has let pass: who made it. Whether
// the write then happened is for the watcher to see.
type Note struct {
	At time.Time `json:"at"`
	// Object is ConfigObject, or NAMESPACE/NAME of an Ingress.
	Object string `json:"object"`
	// From and To are TextDigest of the config, or whether the Ingress is opted in.
	From string `json:"from"`
	To   string `json:"to"`
	By   string `json:"by"`
}

// ConfigObject stands for the migration config in a Note.
const ConfigObject = "config"

// The bounds of the notes of one replica. The watcher looks for a note as soon as it
// sees the change.
const (
	MaxNotes   = 50
	NoteExpiry = 10 * time.Minute
)

// AddNote gives the notes with one more, within the bounds.
func AddNote(notes []Note, note Note) []Note {
	var kept []Note
	for _, one := range notes[max(len(notes)-MaxNotes+1, 0):] {
		if note.At.Sub(one.At) < NoteExpiry {
			kept = append(kept, one)
		}
	}
	note.Object, note.By = oneLine(note.Object), oneLine(note.By)
	return append(kept, note)
}

// ParseNotes reads the notes of one replica. A text that is none counts as empty.
func ParseNotes(text string) []Note {
	var notes []Note
	if json.Unmarshal([]byte(text), &notes) != nil {
		return nil
	}
	return notes
}

// FormatNotes is the text that ParseNotes reads.
func FormatNotes(notes []Note) (string, error) {
	text, err := json.Marshal(notes)
	if err != nil {
		return "", fmt.Errorf("write the notes of admission: %w", err)
	}
	return string(text), nil
}

// Author tells who changed an object from one version to another; "" if the notes do not
// say. Versions in between, which the watcher has not seen, have authors too: of
//
//	a to b by alice, b to c by bob
//
// the author of a to c is "alice, bob". Of several notes of the same write the newest
// counts: the earlier ones were refused after admission, or repeated.
func Author(notes []Note, object, from, to string) string {
	next := map[string]Note{} // by From
	for _, note := range notes {
		if note.Object == object && note.From != note.To && (note.To == to || next[note.From].To != to) &&
			!note.At.Before(next[note.From].At) {
			next[note.From] = note
		}
	}
	by := ""
	for range next {
		note, ok := next[from]
		if !ok {
			return ""
		}
		switch by {
		case "", note.By:
			by = note.By
		default:
			by += ", " + note.By
		}
		if note.To == to {
			return by
		}
		from = note.To
	}
	return ""
}

// OptedInText is From or To of the note about an Ingress.
func OptedInText(optedIn bool) string {
	if optedIn {
		return "in"
	}
	return "out"
}
