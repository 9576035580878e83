package accesslog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// tailTest is a Tail whose steps the test calls, at times of its choice.
type tailTest struct {
	*Tail
	got     strings.Builder
	reopens int
	now     time.Time
}

func newTailTest(t require.TestingT, dir string) *tailTest {
	b := &tailTest{now: time.Now()}
	b.Tail = &Tail{
		Path:     filepath.Join(dir, "access.log"),
		Nginx:    reopenFunc(func() error { b.reopens++; return nil }),
		Consumer: consumeFunc(func(lines []byte, _ time.Time) { b.got.Write(lines) }),
		Log:      slog.New(slog.DiscardHandler),
	}
	b.setDefaults()
	require.NoError(t, b.openFirst())
	return b
}

func (b *tailTest) stepAfter(later time.Duration) {
	b.now = b.now.Add(later)
	b.step(b.now)
}

func appendTo(t require.TestingT, path, text string) {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	_, err = file.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, file.Close())
}

func TestTailWaitsForTheFile(t *testing.T) {
	t.Parallel()
	b := newTailTest(t, t.TempDir())
	defer b.close()
	b.stepAfter(0)
	require.Zero(t, b.reopens, "nginx has not started yet")
	appendTo(t, b.Path, "one\n")
	b.stepAfter(0)
	require.Equal(t, "one\n", b.got.String())
}

func TestTailKeepsPartialLines(t *testing.T) {
	t.Parallel()
	b := newTailTest(t, t.TempDir())
	defer b.close()
	for _, part := range []string{"on", "e\ntw", "o", "\n"} {
		appendTo(t, b.Path, part)
		b.stepAfter(0)
		require.True(t, b.got.Len() == 0 || strings.HasSuffix(b.got.String(), "\n"))
	}
	require.Equal(t, "one\ntwo\n", b.got.String())
}

func TestTailStartsAtTheEndWithRunningNginx(t *testing.T) {
	t.Parallel()
	b := &Tail{Path: filepath.Join(t.TempDir(), "access.log"), AtEnd: true, Log: slog.New(slog.DiscardHandler)}
	appendTo(t, b.Path, "counted by the agent before\n")
	appendTo(t, b.Path+rotatedSuffix, "this too\n")
	require.NoError(t, b.openFirst())
	defer b.close()
	var got strings.Builder
	b.Consumer = consumeFunc(func(lines []byte, _ time.Time) { got.Write(lines) })
	appendTo(t, b.Path, "new\n")
	appendTo(t, b.Path+rotatedSuffix, "late\n")
	b.step(time.Now())
	require.Equal(t, "late\nnew\n", got.String())
}

func TestTailRotates(t *testing.T) {
	t.Parallel()
	b := newTailTest(t, t.TempDir())
	defer b.close()
	b.MaxSize = 10
	appendTo(t, b.Path, "0123456789\n")
	b.stepAfter(0) // opens it
	b.stepAfter(0)
	require.Equal(t, 1, b.reopens)
	require.NoFileExists(t, b.Path)

	appendTo(t, b.Path+rotatedSuffix, "before it reopened\n")
	b.stepAfter(reopenPause)
	require.Equal(t, 2, b.reopens, "asked again")
	appendTo(t, b.Path, "after\n")
	b.stepAfter(quietTime / 2)
	appendTo(t, b.Path+rotatedSuffix, "from an old worker\n")
	b.stepAfter(quietTime / 2)
	b.stepAfter(quietTime / 2)
	require.FileExists(t, b.Path+rotatedSuffix, "not quiet for long enough")
	b.stepAfter(quietTime / 2)
	require.NoFileExists(t, b.Path+rotatedSuffix)
	require.Equal(t, "0123456789\nbefore it reopened\nafter\nfrom an old worker\n", b.got.String())
}

func TestTailContinuesWhenNginxDoesNotReopen(t *testing.T) {
	t.Parallel()
	b := newTailTest(t, t.TempDir())
	defer b.close()
	b.MaxSize = 1
	b.Nginx = reopenFunc(func() error { b.reopens++; return errors.New("no such process") })
	appendTo(t, b.Path, "one\n")
	b.stepAfter(0) // opens it
	for range 3 {
		b.stepAfter(reopenPause)
	}
	require.Equal(t, 3, b.reopens)
	appendTo(t, b.Path+rotatedSuffix, "two\n")
	b.stepAfter(0)
	require.Equal(t, "one\ntwo\n", b.got.String())
}

func TestTailSurvivesTruncation(t *testing.T) {
	t.Parallel()
	b := newTailTest(t, t.TempDir())
	defer b.close()
	appendTo(t, b.Path, "one\nunfinished")
	b.stepAfter(0)
	require.NoError(t, os.Truncate(b.Path, 0))
	appendTo(t, b.Path, "two\n")
	b.stepAfter(0)
	require.Equal(t, "one\ntwo\n", b.got.String())
}

func TestTailSurvivesReplacement(t *testing.T) {
	t.Parallel()
	b := newTailTest(t, t.TempDir())
	defer b.close()
	appendTo(t, b.Path, "one\n")
	b.stepAfter(0)
	require.NoError(t, os.Rename(b.Path, b.Path+".moved"))
	appendTo(t, b.Path, "three\n")
	appendTo(t, b.Path+".moved", "two\n")
	b.stepAfter(0)
	require.Equal(t, "one\ntwo\nthree\n", b.got.String())
	b.stepAfter(quietTime)
	b.stepAfter(quietTime)
	require.FileExists(t, b.Path+".moved", "not ours to remove")
}

func TestTailReopensRemovedFile(t *testing.T) {
	t.Parallel()
	b := newTailTest(t, t.TempDir())
	defer b.close()
	appendTo(t, b.Path, "one\n")
	b.stepAfter(0)
	require.NoError(t, os.Remove(b.Path))
	b.stepAfter(0)
	require.Equal(t, 1, b.reopens)
	appendTo(t, b.Path, "two\n")
	b.stepAfter(0)
	require.Equal(t, "one\ntwo\n", b.got.String())
}

func TestTailPassesOnUnendedLines(t *testing.T) {
	t.Parallel()
	b := newTailTest(t, t.TempDir())
	defer b.close()
	long := strings.Repeat("x", chunkSize+10) + "\nshort\n"
	appendTo(t, b.Path, long)
	b.stepAfter(0)
	require.Equal(t, long, b.got.String())
}

// TestTailReadsEachLineOnce: whatever is written in whatever pieces, with
// rotations and pauses in between, comes out once and in order per file.
func TestTailReadsEachLineOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "tail")
		require.NoError(t, err)
		defer func() { _ = os.RemoveAll(dir) }()
		b := newTailTest(t, dir)
		defer b.close()
		b.MaxSize = 64
		writer := b.Path // nginx's open file: follows a rename until it reopens
		b.Nginx = reopenFunc(func() error { writer = b.Path; return nil })
		want := 0
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			for range rapid.IntRange(0, 5).Draw(t, "lines") {
				appendTo(t, writer, fmt.Sprintf("line %d\n", want))
				want++
			}
			b.stepAfter(time.Duration(rapid.IntRange(0, 1500).Draw(t, "milliseconds")) * time.Millisecond)
		}
		require.Equal(t, want, strings.Count(b.got.String(), "\n"))
		for i, line := range strings.Split(strings.TrimSuffix(b.got.String(), "\n"), "\n") {
			require.True(t, want == 0 || line == fmt.Sprintf("line %d", i), line)
		}
	})
}

func TestTailConsumesTheRestWhenStopped(t *testing.T) {
	t.Parallel()
	b := newTailTest(t, t.TempDir())
	b.close()
	ctx, cancel := context.WithCancel(t.Context())
	b.Interval = time.Hour
	appendTo(t, b.Path, "one\n")
	read := make(chan struct{}, 2)
	b.Consumer = consumeFunc(func(lines []byte, _ time.Time) { b.got.Write(lines); read <- struct{}{} })
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	<-read
	appendTo(t, b.Path, "two\n")
	cancel()
	require.NoError(t, <-done)
	require.Equal(t, "one\ntwo\n", b.got.String())
}
