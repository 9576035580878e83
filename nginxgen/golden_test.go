package nginxgen_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/golden"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// debian is the nginx that goldens are made for, unless a case names more.
var debian = nginxgen.Version{Major: 1, Minor: 22, Patch: 1}

// goldenCase is a folder below testdata: input.yaml, want-VERSION.conf and,
// where the defaults do not do, params.json.
type goldenCase struct {
	dir   string
	table *migration.Table
	// Below is params.json.
	Versions  []string            // nginx versions; default debian's
	IPv6      bool                // as in Params
	User      string              // as in Params
	NoCADir   bool                // no directory of hashed certificates
	Endpoints map[string][]string // backend -> addresses, instead of the stand-ins
}

// TestGolden: each case becomes the text that was reviewed, and the real
// nginx takes that text.
func TestGolden(t *testing.T) {
	t.Parallel()
	installed := nginxVersion(t)
	inputs, err := filepath.Glob("testdata/*/input.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, inputs)
	for _, input := range inputs {
		dir := filepath.Dir(input)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			c := loadCase(t, dir)
			for _, text := range c.Versions {
				version, err := nginxgen.ParseVersion("nginx/" + text)
				require.NoError(t, err)
				golden.Check(t, filepath.Join(dir, "want-"+text+".conf"), c.generate(t, version).Text)
			}
			newMachine(t).requireAccepted(t, c.generate(t, installed).Text)
		})
	}
}

func loadCase(t *testing.T, dir string) goldenCase {
	text, err := os.ReadFile(filepath.Join(dir, "input.yaml"))
	require.NoError(t, err)
	table, err := config.Load("input.yaml", text)
	require.NoError(t, err)
	c := goldenCase{dir: dir, table: table, Versions: []string{debian.String()}}
	params, err := os.ReadFile(filepath.Join(dir, "params.json"))
	if errors.Is(err, os.ErrNotExist) {
		return c
	}
	require.NoError(t, err)
	decoder := json.NewDecoder(bytes.NewReader(params))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&c))
	return c
}

func (c goldenCase) generate(t *testing.T, version nginxgen.Version) nginxgen.Config {
	params := standardParams(version)
	params.IPv6, params.User = c.IPv6, c.User
	if c.NoCADir {
		params.CADir, params.AnchorFile = "", ""
	}
	endpoints := standIns(c.table)
	for name, addresses := range c.Endpoints {
		backend, err := migration.ParseBackend(name)
		require.NoError(t, err)
		require.Contains(t, endpoints, backend, "params.json names a backend that no service has")
		endpoints[backend] = nil
		for _, address := range addresses {
			endpoints[backend] = append(endpoints[backend], netip.MustParseAddrPort(address))
		}
	}
	config, err := nginxgen.Generate(c.table, endpoints, params)
	require.NoError(t, err)
	return config
}

// TestSameTableSameText: a hundred times, and whatever order the services
// were written in, as Go's maps are walked in another order each time.
func TestSameTableSameText(t *testing.T) {
	t.Parallel()
	c := loadCase(t, "testdata/services-on-one-host")
	want := c.generate(t, debian)
	for range 100 {
		require.Equal(t, want, c.generate(t, debian))
	}
	rapid.Check(t, func(rt *rapid.T) {
		order := rapid.Permutation(slices.Clone(c.table.Services())).Draw(rt, "order")
		shuffled, err := migration.NewTable(c.table.Global(), order)
		require.NoError(rt, err)
		got, err := nginxgen.Generate(shuffled, standIns(shuffled), standardParams(debian))
		require.NoError(rt, err)
		require.Equal(rt, want.Digest, got.Digest)
	})
}

// TestNumbersAreNotInTheText: a share, enabled and what trips are no reason
// to reload; everything else that differs is.
func TestNumbersAreNotInTheText(t *testing.T) {
	t.Parallel()
	c := loadCase(t, "testdata/every-key")
	want := c.generate(t, debian)
	changed := func(change func(*migration.Service)) string {
		services := slices.Clone(c.table.Services())
		for i := range services {
			change(&services[i])
		}
		table, err := migration.NewTable(c.table.Global(), services)
		require.NoError(t, err)
		got, err := nginxgen.Generate(table, standIns(table), standardParams(debian))
		require.NoError(t, err)
		return got.Digest
	}
	require.Equal(t, want.Digest, changed(func(s *migration.Service) {
		s.Share, s.Enabled = 10000-s.Share, !s.Enabled
		s.Fallback.MaxFailures++
		s.Fallback.Window *= 2
		s.Fallback.RecoveryTime *= 2
		s.Fallback.FailureRatio = 0.5
		s.HealthCheck = nil
	}))
	for name, change := range map[string]func(*migration.Service){
		"new_host": func(s *migration.Service) { s.NewHost = "other." + s.NewHost },
		"tries":    func(s *migration.Service) { s.Tries++ },
		"timeout":  func(s *migration.Service) { s.Timeout *= 2 },
		"fallback": func(s *migration.Service) { s.Fallback.Enabled = !s.Fallback.Enabled },
		"rules":    func(s *migration.Service) { s.HeaderRules = nil },
	} {
		require.NotEqual(t, want.Digest, changed(change), name)
	}
}
