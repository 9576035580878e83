package localjournal

import (
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/migration"
)

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// proxy is what the writer looks at.
type proxy struct {
	table  *migration.Table
	status status.Status
}

func (p *proxy) serve(t *testing.T, percentage int) {
	t.Helper()
	table, err := config.Load("test", fmt.Appendf(nil, "services: [{name: shop, old_host: shop.example, old_backend: 'a:80', "+
		"new_host: b, new_backend: 'b:80', migration: {enabled: true, percentage: %d}}]", percentage))
	require.NoError(t, err)
	p.table = table
	p.status = status.Status{Config: status.Config{Digest: table.Digest()}, Services: []status.Service{{Name: "shop", Phase: status.Migrating}}}
}

func (p *proxy) writer(dir string) *Writer {
	return New(dir, func() *migration.Table { return p.table }, func() status.Status { return p.status }, slog.New(slog.DiscardHandler))
}

func sentences(t *testing.T, dir string) []string {
	t.Helper()
	all, err := Read(dir)
	require.NoError(t, err)
	var texts []string
	for _, entry := range all.Entries {
		texts = append(texts, entry.String())
	}
	return texts
}

// TestWriter is a migration, over restarts: each thing is written once.
func TestWriter(t *testing.T) {
	t.Parallel()
	dir, p := t.TempDir(), &proxy{}
	require.Empty(t, sentences(t, dir))
	p.serve(t, 5)
	p.writer(dir).write(noon)
	p.writer(dir).write(noon)
	p.serve(t, 25)
	w := p.writer(dir)
	w.Append(journal.Entry{At: noon, Kind: journal.RampAdvanced, Service: "shop", What: "share 5 -> 25"})
	w.write(noon)
	p.status.Services[0].Phase, p.status.Services[0].Reason = status.FallenBack, "5 failures"
	w.write(noon)
	p.status.Services[0].Phase, p.status.Services[0].Reason = status.Migrating, ""
	p.status.Config.Rejected = &status.Rejected{At: noon, Problems: []string{"line 3: no"}}
	p.writer(dir).write(noon)
	require.Equal(t, []string{
		"shop percentage 5", "shop percentage 5 -> 25", "shop share 5 -> 25", "shop fell back to old: 5 failures",
		"config rejected, the last valid one stays in force: line 3: no", "shop traffic goes through the proxy again, after FallenBack",
	}, sentences(t, dir))
}

// TestUnreadable begins again, and does not stop the proxy.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	dir, p := t.TempDir(), &proxy{}
	require.NoError(t, os.WriteFile(Path(dir), []byte("{"), 0o600))
	_, err := Read(dir)
	require.ErrorContains(t, err, "journal.json")
	p.serve(t, 5)
	p.writer(dir).write(noon)
	require.Equal(t, []string{"shop percentage 5"}, sentences(t, dir))
}

// TestWriteFails: what could not be written is tried again.
func TestWriteFails(t *testing.T) {
	t.Parallel()
	dir, p := t.TempDir()+"/later", &proxy{}
	p.serve(t, 5)
	w := p.writer(dir)
	w.Append(journal.Entry{At: noon, Kind: journal.RampChanged, Service: "shop", What: "ramp hold at 5 %"})
	w.write(noon)
	require.NoError(t, os.Mkdir(dir, 0o700))
	w.write(noon)
	require.Equal(t, []string{"shop percentage 5", "shop ramp hold at 5 %"}, sentences(t, dir))
}
