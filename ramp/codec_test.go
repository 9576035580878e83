package ramp_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/ramp"
)

// statesOf are the states of so many services, each with evidence of its own.
func statesOf(t *testing.T, services int) map[string]ramp.State {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	states := map[string]ramp.State{}
	for i := range services {
		w := newWorld(t, 100, 500, 2500, 9900)
		w.perSlot, w.old, w.new = 5000*random.Float64(), 0.01*random.Float64(), 0.01*random.Float64()
		for range 10 + random.IntN(20) {
			w.tick()
		}
		w.state.Structure = "0123456789abcdef"
		states[fmt.Sprintf("service-%d", i)] = w.state
	}
	return states
}

// TestStatesFitInAConfigMap: 1 MiB is for the positions and the commands too.
func TestStatesFitInAConfigMap(t *testing.T) {
	t.Parallel()
	for services, most := range map[int]int{10: 20 << 10, 1000: 512 << 10} {
		states := statesOf(t, services)
		text, err := ramp.EncodeStates(states)
		require.NoError(t, err)
		t.Logf("%d services: %d KiB", services, len(text)>>10)
		require.Less(t, len(text), most, "%d services", services)
		require.Equal(t, services == 10, text[0] == '{', "people can read it while it is small")
		read, err := ramp.DecodeStates[string](text)
		require.NoError(t, err)
		require.Equal(t, states, read)
	}
}

func TestDecodeDamagedStates(t *testing.T) {
	t.Parallel()
	text, err := ramp.EncodeStates(statesOf(t, 1000))
	require.NoError(t, err)
	for _, damaged := range []string{"gzip:", "gzip:!", text[:len(text)/2], "{"} {
		states, err := ramp.DecodeStates[string](damaged)
		require.ErrorContains(t, err, "decode the states of the ramps")
		require.Empty(t, states)
	}
}
