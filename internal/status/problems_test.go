package status

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestRampProblem: a ramp that cannot move needs a person.
func TestRampProblem(t *testing.T) {
	t.Parallel()
	s := Service{Name: "shop", Phase: Migrating, Ramp: &Ramp{Problem: "no space"}}
	require.Equal(t, []Problem{{"shop", "shop: no space", true}}, s.Problems(time.Unix(0, 0)))
	s.Ramp.Problem = ""
	require.Empty(t, s.Problems(time.Unix(0, 0)))
}
