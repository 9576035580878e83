package status

import (
	"encoding/json"
	"fmt"
)

// Ingresses are the opted-in Ingresses about which the watcher has something to say:
// paths that it does not rewrite, writes that the API server refuses, and what works
// in another way than the user may expect. Each text is also an Event on the Ingress.
type Ingresses struct {
	// Total is how many there are; Noted has the first of them, by namespace and name.
	Total int           `json:"total"`
	Noted []IngressNote `json:"noted"`
}

// IngressNote is what to know about one Ingress.
type IngressNote struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Phase     Phase  `json:"phase,omitempty"` // "" for an Ingress that has not opted in
	Text      string `json:"text"`
}

// ParseIngresses reads the data of ConfigMap migration-state. Without IngressesKey there
// are no notes. The error names the key.
func ParseIngresses(data map[string]string) (Ingresses, error) {
	var notes Ingresses
	text, ok := data[IngressesKey]
	if !ok {
		return notes, nil
	}
	if err := json.Unmarshal([]byte(text), &notes); err != nil {
		return Ingresses{}, fmt.Errorf("key %s: %w", IngressesKey, err)
	}
	return notes, nil
}

// FormatIngresses is the content of IngressesKey.
func FormatIngresses(notes Ingresses) (string, error) {
	text, err := json.Marshal(notes)
	if err != nil {
		return "", fmt.Errorf("write the notes about Ingresses: %w", err)
	}
	return string(text), nil
}
