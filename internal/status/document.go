package status

import (
	"encoding/json"
	"fmt"
)

// parse reads a key of a ConfigMap. Without the key the document is empty; the error names
// the key.
func parse[T any](data map[string]string, key string) (T, error) {
	var document, empty T
	text, ok := data[key]
	if !ok {
		return empty, nil
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		return empty, fmt.Errorf("key %s: %w", key, err)
	}
	return document, nil
}

// text is the content of a key. Doing is for the error.
func text(document any, doing string) (string, error) {
	text, err := json.Marshal(document)
	if err != nil {
		return "", fmt.Errorf("%s: %w", doing, err)
	}
	return string(text), nil
}
