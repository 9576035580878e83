package journal_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/journal"
)

// TestShares: the share is the smaller one of the percentage and of the position of a ramp.
func TestShares(t *testing.T) {
	t.Parallel()
	share := func(to string) journal.Entry { return journal.Entry{Kind: journal.Share, To: to} }
	ramp := func(from, to string) journal.Entry {
		return journal.Entry{Kind: journal.RampAdvanced, From: from, To: to}
	}
	settings := journal.Entry{Kind: journal.Changed, What: "settings changed (hash_key, ramp)"}
	other := journal.Entry{Kind: journal.Changed, What: "settings changed (rampart)"}
	command := journal.Entry{Kind: journal.RampChanged, What: "ramp hold at 5 %"}
	for name, c := range map[string]struct {
		entries []journal.Entry
		want    []float64
	}{
		"without a ramp":         {[]journal.Entry{share("5"), other, share("25"), share("100")}, []float64{5, 25, 100}},
		"with a ramp from begin": {[]journal.Entry{share("100"), ramp("0", "1"), command, ramp("1", "25"), share("10"), share("100")}, []float64{0, 1, 25, 10, 25}},
		"a ramp comes":           {[]journal.Entry{share("25"), settings, ramp("0", "1")}, []float64{25, 0, 1}},
		"a ramp comes and goes":  {[]journal.Entry{share("25"), settings, ramp("0", "1"), settings}, []float64{25, 0, 1, 25}},
		"percentage lost":        {[]journal.Entry{ramp("25", "99")}, []float64{99}},
		"nothing":                {[]journal.Entry{command, {Kind: journal.FellBack, From: "Migrating", To: "FallenBack"}}, nil},
		"equal":                  {[]journal.Entry{share("5"), share("5")}, []float64{5}},
	} {
		var got []float64
		for i := range c.entries {
			c.entries[i].At = noon.Add(time.Duration(i) * time.Minute)
		}
		for _, point := range journal.Shares(c.entries) {
			got = append(got, point.Share)
		}
		require.Equal(t, c.want, got, name)
	}
}
