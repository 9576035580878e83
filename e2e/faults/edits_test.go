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

// editor saves the config again and again, often with mistakes.
type editor struct {
	*apiProxy
	links int             // number of folders, see swapLink
	valid map[string]bool // digests of all valid texts that were saved
	last  string          // the last text that was valid
}

// text is a valid config: api, and some others with random values.
func (e *editor) text() string {
	text := configHead + e.api(fmt.Sprintf("    migration: {enabled: %t, percentage: %d}", rand.IntN(5) > 0, rand.IntN(101)), noTrip)
	for i := range rand.IntN(5) {
		text += e.service(fmt.Sprintf("more%d", i), e.old.URL(), e.new.URL(),
			fmt.Sprintf("    timeout: %ds", 1+rand.IntN(3)), fmt.Sprintf("    migration: {enabled: true, percentage: %d}", rand.IntN(101)))
	}
	return text
}

// spoil adds a mistake. Some of its results are valid by chance.
func spoil(text string) string {
	switch rand.IntN(6) {
	case 0:
		return text[:rand.IntN(len(text))] // like an editor that was killed
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

// ways are the ways to save a text.
var ways = []func(*editor, string){
	func(e *editor, text string) { e.clear(); e.write(text) },
	(*editor).inPlace,
	(*editor).slowly,
	(*editor).swapLink,
	func(e *editor, text string) { e.remove(); e.write(text) },
}

// accidents leave no readable config.
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

// clear removes what a rename cannot replace, for example a directory.
func (e *editor) clear() {
	if info, err := os.Lstat(e.config); err == nil && !info.Mode().IsRegular() {
		e.remove()
	}
}

func (e *editor) inPlace(text string) {
	e.clear()
	e.must(os.WriteFile(e.config, []byte(text), 0o644))
}

// slowly writes in two pieces, so that the proxy sees an incomplete file.
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

// swapLink works as the kubelet: migration.yaml is a symlink to ..data/migration.yaml,
// and the symlink ..data is replaced.
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

// unreadable makes a file without read permission. root can read any file, so for root
// it is a path whose parent is a file.
func (e *editor) unreadable() {
	e.remove()
	if os.Getuid() == 0 {
		e.must(os.Symlink(filepath.Join(program, "migration.yaml"), e.config))
		return
	}
	e.must(os.WriteFile(e.config, []byte(e.text()), 0o644))
	e.must(os.Chmod(e.config, 0))
}

// edit makes a random change.
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

// TestEdits edits the config every 60 ms, in all ways, under load: at the end the last
// valid config is in force.
func TestEdits(t *testing.T) {
	t.Parallel()
	e := &editor{apiProxy: newAPIProxy(t), valid: map[string]bool{}}
	e.start(e.api(percent50, noTrip))
	before := e.resources()
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
	result := e.finish(clients, fmt.Sprintf("%d edits in %.0f s, valid and not", edits, took.Seconds()), since, time.Time{})
	result.group, result.status = "6. Config", describeConfig(now)
	results.add(t, result)
	t.Log(clients.kinds())
	require.Zero(t, result.duplicates)
	require.LessOrEqual(t, result.get.failed+result.post.failed, lostByReloads(now.Nginx.Reloads))
	e.clear()
	e.write(configHead + e.api(percent50, noTrip))
	e.waitForShare(50)
	e.requireNoLeak(before)
}

func describeConfig(now status.Status) string {
	return fmt.Sprintf("reloads %d, results %v, serves the last valid one", now.Nginx.Reloads, now.Config.Results)
}

// settle ends with a valid edit, and then tries each accident: the status reports
// each, and none changes what is served.
func (e *editor) settle() status.Status {
	e.save(e.text())
	table, err := config.Load(e.config, []byte(e.last))
	require.NoError(e.t, err)
	served := func(s status.Status) bool { return s.Config.Digest == table.Digest() }
	e.waitFor("the last valid edit", func(s status.Status) bool { return served(s) && s.Config.Rejected == nil })
	for i, accident := range accidents {
		at := e.waitFor("a rejection", func(s status.Status) bool { return i == 0 || s.Config.Rejected != nil }).Now
		accident(e)
		now := e.waitFor("a rejection of the accident", func(s status.Status) bool {
			return s.Config.Rejected != nil && s.Config.Rejected.At.After(at)
		})
		require.True(e.t, served(now) && now.Ready, "accident %d: %+v", i, now.Config)
	}
	e.save(e.last)
	now := e.waitFor("the last valid edit again", func(s status.Status) bool { return served(s) && s.Config.Rejected == nil })
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
