package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// editor is somebody who saves the config all the time, and not always well.
type editor struct {
	*pair
	links int             // made so far, see swapLink
	valid map[string]bool // digests of what was ever saved
	last  string          // the last text that was valid
}

// text is a valid config: api, and some others with values of their own.
func (e *editor) text() string {
	text := pattern + e.api(fmt.Sprintf("    migration: {enabled: %t, percentage: %d}", rand.IntN(5) > 0, rand.IntN(101)), noTrip)
	for i := range rand.IntN(5) {
		text += e.service(fmt.Sprintf("more%d", i), e.old.URL(), e.new.URL(),
			fmt.Sprintf("    timeout: %ds", 1+rand.IntN(3)), fmt.Sprintf("    migration: {enabled: true, percentage: %d}", rand.IntN(101)))
	}
	return text
}

// spoil makes mistakes. Some of what comes out is valid, by chance.
func spoil(text string) string {
	switch rand.IntN(6) {
	case 0:
		return text[:rand.IntN(len(text))] // an editor that was killed
	case 1:
		return strings.Replace(text, "percentage: ", "percentage: 1", 1)
	case 2:
		return strings.Replace(text, "old_host", "old_hots", 1)
	case 3:
		return text + text
	case 4:
		return "\x00\xff not text at all"
	}
	return strings.Replace(text, "https://", "https://$(reboot);", 1)
}

// ways are how a text gets into the file.
var ways = []func(*editor, string){
	func(e *editor, text string) { e.clear(); e.write(text) },
	(*editor).inPlace,
	(*editor).slowly,
	(*editor).swapLink,
	func(e *editor, text string) { e.remove(); e.write(text) },
}

// accidents leave no config at all.
var accidents = []func(*editor){
	(*editor).remove,
	func(e *editor) { e.remove(); e.must(os.Mkdir(e.config, 0o755)) },
	func(e *editor) { e.remove(); e.must(os.Symlink("nowhere", e.config)) },
	func(e *editor) { e.remove(); e.must(os.Symlink(filepath.Base(e.config), e.config)) },
	func(e *editor) { e.remove(); e.must(syscall.Mkfifo(e.config, 0o644)) },
	func(e *editor) { e.remove(); e.must(os.WriteFile(e.config, nil, 0o644)) },
	(*editor).unreadable,
}

func (e *editor) must(err error) { require.NoError(e.t, err) }

func (e *editor) remove() { e.must(os.RemoveAll(e.config)) }

// clear makes way for a rename, which cannot replace a directory.
func (e *editor) clear() {
	if info, err := os.Lstat(e.config); err == nil && !info.Mode().IsRegular() {
		e.remove()
	}
}

func (e *editor) inPlace(text string) {
	e.clear()
	e.must(os.WriteFile(e.config, []byte(text), 0o644))
}

// slowly writes in pieces: the file is seen half done.
func (e *editor) slowly(text string) {
	e.clear()
	file, err := os.Create(e.config)
	e.must(err)
	middle := rand.IntN(len(text) + 1)
	for _, piece := range []string{text[:middle], text[middle:]} {
		_, err = file.WriteString(piece)
		e.must(err)
		pause(rand.N(20 * time.Millisecond))
	}
	e.must(file.Close())
}

// swapLink does what the kubelet does: migration.yaml -> ..data/migration.yaml,
// and ..data is swapped.
func (e *editor) swapLink(text string) {
	e.links++
	folder := fmt.Sprintf("..v%d", e.links)
	e.must(os.Mkdir(filepath.Join(e.dir, folder), 0o755))
	e.must(os.WriteFile(filepath.Join(e.dir, folder, "migration.yaml"), []byte(text), 0o644))
	draft, data := filepath.Join(e.dir, "..draft"), filepath.Join(e.dir, "..data")
	before, _ := os.Readlink(data)
	e.must(os.Symlink(folder, draft))
	e.must(os.Rename(draft, data))
	if target, _ := os.Readlink(e.config); target != "..data/migration.yaml" {
		e.remove()
		e.must(os.Symlink("..data/migration.yaml", e.config))
	}
	if before != "" {
		e.must(os.RemoveAll(filepath.Join(e.dir, before)))
	}
}

// unreadable is a file that its reader may not read. To root everything is
// readable, but for this: its parent is a file.
func (e *editor) unreadable() {
	e.remove()
	if os.Getuid() == 0 {
		e.must(os.Symlink(filepath.Join(program, "migration.yaml"), e.config))
		return
	}
	e.must(os.WriteFile(e.config, []byte(e.text()), 0o644))
	e.must(os.Chmod(e.config, 0))
}

// edit does something to the config.
func (e *editor) edit() {
	switch rand.IntN(10) {
	case 0, 1, 2:
		accidents[rand.IntN(len(accidents))](e)
	case 3, 4:
		e.save(spoil(e.text()))
	default:
		e.save(e.text())
	}
}

func (e *editor) save(text string) {
	if table, err := config.Load(e.config, []byte(text)); err == nil {
		e.valid[table.Digest()], e.last = true, text
	}
	ways[rand.IntN(len(ways))](e, text)
}

// TestEdits edits the config as fast as one in 60 ms, in every way, while
// clients ask: what is served at the end is the last that was valid.
func TestEdits(t *testing.T) {
	t.Parallel()
	e := &editor{pair: newPair(t), valid: map[string]bool{}}
	e.start(e.api(half, noTrip))
	before := e.census()
	clients := e.clients("api", rates{get: 100, post: 50, connections: 4})
	edits, every := 100, 60*time.Millisecond
	if long() {
		edits = 1000
	}
	since := time.Now()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for range edits {
		<-tick.C
		e.edit()
	}
	took := time.Since(since)
	now := e.settle()
	result := e.ends(clients, fmt.Sprintf("%d edits in %.0f s, valid and not", edits, took.Seconds()), since, time.Time{})
	result.group, result.says = "6. Config", saysOfConfig(now)
	results.add(t, result)
	t.Log(clients.kinds())
	require.Zero(t, result.duplicates)
	require.LessOrEqual(t, result.get.failed+result.post.failed, lostByReloads(now.Nginx.Reloads))
	e.clear()
	e.write(pattern + e.api(half, noTrip))
	e.awaitShare(50)
	e.requireNothingLeft(before)
}

func saysOfConfig(now status.Status) string {
	return fmt.Sprintf("reloads %d, results %v, serves the last valid one", now.Nginx.Reloads, now.Config.Results)
}

// settle ends with a valid edit, and then with each accident: each is told,
// none changes what is served.
func (e *editor) settle() status.Status {
	e.save(e.text())
	table, err := config.Load(e.config, []byte(e.last))
	require.NoError(e.t, err)
	served := func(s status.Status) bool { return s.Config.Digest == table.Digest() }
	e.await("the last valid edit", func(s status.Status) bool { return served(s) && s.Config.Rejected == nil })
	for i, accident := range accidents {
		at := e.await("a rejection", func(s status.Status) bool { return i == 0 || s.Config.Rejected != nil }).Now
		accident(e)
		now := e.await("a rejection of the accident", func(s status.Status) bool {
			return s.Config.Rejected != nil && s.Config.Rejected.At.After(at)
		})
		require.True(e.t, served(now) && now.Ready, "accident %d: %+v", i, now.Config)
	}
	e.save(e.last)
	now := e.await("the last valid edit again", func(s status.Status) bool { return served(s) && s.Config.Rejected == nil })
	for _, service := range table.Services() {
		target, err := os.Readlink(filepath.Join(e.runtime, "weights", string(service.Name)))
		require.NoError(e.t, err)
		want := fmt.Sprint(int(service.Share))
		if !service.Enabled {
			want = "disabled"
		}
		require.Equal(e.t, want, filepath.Base(target), service.Name)
	}
	return now
}
