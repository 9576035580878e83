package migration

import "fmt"

// Side is one of the two clusters.
type Side string

// The two sides.
const (
	Old Side = "old"
	New Side = "new"
)

// ParseTarget reads the target of a rule: "new_cluster" or "old_cluster".
func ParseTarget(text string) (Side, error) {
	switch text {
	case "new_cluster":
		return New, nil
	case "old_cluster":
		return Old, nil
	}
	return "", fmt.Errorf("%q is not a target: write new_cluster or old_cluster", text)
}
