package positions

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// recorder is the agent and the counters.
type recorder struct {
	positions map[migration.Name]migration.Share
	slow      map[migration.Name][2]time.Duration
}

func (r *recorder) SetPositions(positions map[migration.Name]migration.Share) {
	r.positions = positions
}

func (r *recorder) SetSlow(service migration.Name, old, new time.Duration) {
	if r.slow == nil {
		r.slow = map[migration.Name][2]time.Duration{}
	}
	r.slow[service] = [2]time.Duration{old, new}
}

func newFollower(file string) (*Follower, *recorder) {
	r := &recorder{}
	return New(Options{Agent: r, Counters: r, File: file, Log: slog.New(slog.DiscardHandler)}), r
}

func version(service string, share float64) status.Positions {
	return status.Positions{Services: map[string]status.Position{service: {Share: share}}}
}

func tableOf(t *testing.T, services ...migration.Service) *migration.Table {
	t.Helper()
	table, err := migration.NewTable(migration.Global{}, services)
	require.NoError(t, err)
	return table
}

// TestPositionsSurviveARestart, and what cannot be known does not change them.
func TestPositionsSurviveARestart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "positions.json")
	f, r := newFollower(file)
	require.False(t, f.Known(), "nothing is stored")
	f.Set(status.Positions{Services: map[string]status.Position{"shop": {Share: 12.34, SlowOld: 0.5, SlowNew: 0.53}}})
	require.Equal(t, map[migration.Name]migration.Share{"shop": 1234}, r.positions)
	require.Equal(t, [2]time.Duration{500 * time.Millisecond, 530 * time.Millisecond}, r.slow["shop"])

	f, r = newFollower(file)
	require.True(t, f.Known())
	require.Equal(t, map[migration.Name]migration.Share{"shop": 1234}, r.positions)
	f.Set(status.Positions{})
	f.Set(version("shop", math.NaN()))
	f.Set(version("shop", 101))
	f.Set(version("other", 5))
	require.Equal(t, map[migration.Name]migration.Share{"shop": 1234, "other": 500}, r.positions)
}

func TestUnreadableFileIsForgotten(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "positions.json")
	require.NoError(t, os.WriteFile(file, []byte("{"), 0o600))
	f, r := newFollower(file)
	require.Empty(t, r.positions)
	f.Set(version("shop", 5))
	require.Equal(t, migration.Share(500), r.positions["shop"])
}

// TestRampsThatEndAreForgotten, but not one that the config will bring.
func TestRampsThatEndAreForgotten(t *testing.T) {
	t.Parallel()
	f, r := newFollower(filepath.Join(t.TempDir(), "positions.json"))
	f.Set(status.Positions{Services: map[string]status.Position{"gone": {Share: 5}, "plain": {Share: 5}, "kept": {Share: 5}}})
	f.Set(version("coming", 1))
	f.SetTable(tableOf(t, migration.Service{Name: "kept", OldHost: "a.example", Ramp: &migration.Ramp{}}, migration.Service{Name: "plain", OldHost: "b.example"}))
	require.Equal(t, map[migration.Name]migration.Share{"kept": 500, "coming": 100}, r.positions)
}

// source receives what a test says.
type source func(receive func(status.Positions, error))

func (s source) Run(ctx context.Context, receive func(status.Positions, error)) error {
	s(receive)
	<-ctx.Done()
	return nil
}

// TestKnown: a source that does not answer is waited for three seconds, and one that
// cannot be read keeps what there was.
func TestKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, r := newFollower(filepath.Join(t.TempDir(), "positions.json"))
		f.options.Source = source(func(func(status.Positions, error)) {})
		go func() { _ = f.Run(t.Context()) }()
		time.Sleep(firstAnswerTimeout - time.Millisecond)
		require.False(t, f.Known())
		time.Sleep(2 * time.Millisecond)
		require.True(t, f.Known())
		require.Empty(t, r.positions)
	})
	synctest.Test(t, func(t *testing.T) {
		f, r := newFollower(filepath.Join(t.TempDir(), "positions.json"))
		f.options.Source = source(func(receive func(status.Positions, error)) {
			receive(version("shop", 5), nil)
			receive(status.Positions{}, errors.New("no JSON"))
		})
		go func() { _ = f.Run(t.Context()) }()
		synctest.Wait()
		require.True(t, f.Known())
		require.Equal(t, migration.Share(500), r.positions["shop"])
	})
}
