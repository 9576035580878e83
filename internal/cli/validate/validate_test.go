package validate

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

const ramped = `services:
  - name: shop
    old_host: shop.example.com
    old_backend: shop.team.svc.cluster.local:8080
    new_host: shop.new.example.com
    new_backend: shop.new.example.com:443
    migration: {enabled: true, percentage: 100, ramp: [1, 50]}
`

// TestNotes: a step that the seen rate makes too long is named with its place, and rates
// that nobody can tell are a note.
func TestNotes(t *testing.T) {
	t.Parallel()
	seen := func(rate float64, err error) Rates {
		return func(context.Context) (map[string]float64, error) { return map[string]float64{"shop": rate}, err }
	}
	for name, c := range map[string]struct {
		rates Rates
		want  string // "": no note
	}{
		"nobody tells": {nil, ""},
		"enough":       {seen(10, nil), ""},
		"none":         {seen(0, nil), ""},
		"too few":      {seen(0.2, nil), "x.yaml:7:56: services[0].migration.ramp[0]: service shop: ramp step 1 %: at 0.2 requests per second it takes 4 days"},
		"an error":     {seen(0, errors.New("forbidden")), "not compared with the requests that services get: forbidden"},
	} {
		notes, err := Notes(t.Context(), "x.yaml", []byte(ramped), c.rates)
		require.NoError(t, err)
		if c.want == "" {
			require.Empty(t, notes, name)
			continue
		}
		require.Len(t, notes, 1, name)
		require.Contains(t, notes[0], c.want, name)
	}
	_, err := Notes(t.Context(), "x.yaml", []byte("services: 7"), nil)
	require.ErrorContains(t, err, "x.yaml:1:11")
}
