package migration_test

import (
	"testing"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/stretchr/testify/require"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	parsed, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	return parsed
}

// TestWindow: 2026-03-29 is the Sunday when Berlin's clocks go from 2 to 3 o'clock.
func TestWindow(t *testing.T) {
	t.Parallel()
	berlin, err := migration.ParseZone("Europe/Berlin")
	require.NoError(t, err)
	weekdays, err := migration.ParseDays("mon-fri")
	require.NoError(t, err)
	office := migration.Window{Days: weekdays, From: 9 * 60, To: 16 * 60, Zone: berlin}
	night := migration.Window{Days: weekdays, From: 22 * 60, To: 4 * 60}
	require.Equal(t, "mon-fri 09:00-16:00 Europe/Berlin", office.String())
	for _, c := range []struct {
		window migration.Window
		at     string
		want   bool
	}{
		{office, "2026-03-27T08:00:00Z", true}, // Friday, winter time
		{office, "2026-03-27T07:59:59Z", false},
		{office, "2026-03-27T15:00:00Z", false}, // 16:00 is not in it
		{office, "2026-03-30T07:00:00Z", true},  // Monday, summer time
		{office, "2026-03-30T14:00:00Z", false},
		{office, "2026-03-29T10:00:00Z", false}, // Sunday
		{night, "2026-03-27T23:00:00Z", true},
		{night, "2026-03-28T03:59:00Z", true}, // Saturday, but it began on Friday
		{night, "2026-03-28T04:00:00Z", false},
		{night, "2026-03-30T03:00:00Z", false}, // it would have begun on Sunday
	} {
		require.Equal(t, c.want, c.window.Open(at(t, c.at)), "%s at %s", &c.window, c.at)
	}
}

func TestDays(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"mon-fri": "mon-fri", "sat,sun": "sun,sat", "fri-mon": "sun,mon,fri,sat", "wed": "wed", "mon-wed,fri": "mon,tue,wed,fri",
	} {
		days, err := migration.ParseDays(text)
		require.NoError(t, err, text)
		require.Equal(t, want, days.String())
	}
	for _, text := range []string{"", "Mon", "mon-", "monday", "mon fri"} {
		_, err := migration.ParseDays(text)
		require.Error(t, err, text)
	}
}

func TestFreeze(t *testing.T) {
	t.Parallel()
	days, err := migration.ParseFreeze("2026-12-20/2027-01-03")
	require.NoError(t, err)
	require.False(t, days.Contains(at(t, "2026-12-19T23:59:59Z")))
	require.True(t, days.Contains(at(t, "2026-12-20T00:00:00Z")))
	require.True(t, days.Contains(at(t, "2027-01-03T23:59:59Z")))
	require.False(t, days.Contains(at(t, "2027-01-04T00:00:00Z")))
	times, err := migration.ParseFreeze("2026-12-20T18:00:00+01:00/2026-12-21")
	require.NoError(t, err)
	require.True(t, times.Contains(at(t, "2026-12-20T17:00:00Z")))
}

// TestRampsNeedNoReload: a ramp changes the digest of a table and not its structure.
func TestRampsNeedNoReload(t *testing.T) {
	t.Parallel()
	table := func(freeze []migration.Freeze, ramp *migration.Ramp) *migration.Table {
		made, err := migration.NewTable(migration.Global{Freeze: freeze}, []migration.Service{{Name: "shop", Ramp: ramp}})
		require.NoError(t, err)
		return made
	}
	plain := table(nil, nil)
	tables := []*migration.Table{
		plain, table(nil, &migration.Ramp{Steps: []migration.RampStep{{To: 1}}}), table(nil, &migration.Ramp{Steps: []migration.RampStep{{To: 2}}}),
		table([]migration.Freeze{{}}, nil),
	}
	digests := map[string]bool{}
	for _, one := range tables {
		require.True(t, plain.SameStructure(one))
		digests[one.Digest()] = true
	}
	require.Len(t, digests, len(tables))
}
