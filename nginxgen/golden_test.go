package nginxgen_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/golden"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// debian is the nginx version of Debian 12: goldens are for it unless a case
// names other versions.
var debian = nginxgen.Version{Major: 1, Minor: 22, Patch: 1}

// goldenCase is a folder below testdata: input.yaml, want-VERSION.conf and, for
// params other than the defaults, params.json.
type goldenCase struct {
	dir   string
	table *migration.Table
	// The fields below are read from params.json.
	Versions  []string            // nginx versions; default debian's
	IPv6      bool                // as in Params
	User      string              // as in Params
	Behind    bool                // BehindControllers of Params
	NoCADir   bool                // no directory of hashed certificates
	Endpoints map[string][]string // backend -> addresses, instead of testEndpoints
}

// baseCase is the case whose golden, for debian's nginx, is a whole text;
// every other golden is folded against it.
const baseCase = "minimal"

// TestGolden asserts that each case becomes the text that was reviewed, and
// that the real nginx accepts the whole text.
func TestGolden(t *testing.T) {
	t.Parallel()
	installed := nginxVersion(t)
	base := newFoldBase(maskDigest(t, loadCase(t, filepath.Join("testdata", baseCase)).generate(t, debian)))
	cases := loadCases(t)
	requireNoStaleGolden(t, cases)
	for _, c := range cases {
		t.Run(filepath.Base(c.dir), func(t *testing.T) {
			t.Parallel()
			for _, text := range c.Versions {
				version, err := nginxgen.ParseVersion("nginx/" + text)
				require.NoError(t, err)
				c.checkGolden(t, version, base)
			}
			newMachine(t).requireAccepted(t, c.generate(t, installed).Text)
		})
	}
}

func (c goldenCase) goldenPath(version string) string {
	return filepath.Join(c.dir, "want-"+version+".conf")
}

// checkGolden compares the folded text with the golden. Nothing is lost in
// the fold: the folded text and the base give the whole text again.
func (c goldenCase) checkGolden(t *testing.T, version nginxgen.Version, base foldBase) {
	t.Helper()
	config := c.generate(t, version)
	if filepath.Base(c.dir) == baseCase && version == debian {
		golden.Check(t, c.goldenPath(version.String()), config.Text)
		return
	}
	whole := maskDigest(t, config)
	folded := base.fold(whole)
	unfolded, err := base.unfold(folded)
	require.NoError(t, err)
	require.Equal(t, whole, unfolded, "the folded text does not say the whole text")
	golden.Check(t, c.goldenPath(version.String()), []byte(folded))
}

// maskDigest puts the word DIGEST where the text has its own digest, as a
// change anywhere in the text would otherwise change every golden. The golden
// of the base case has the digest itself.
func maskDigest(t *testing.T, config nginxgen.Config) string {
	t.Helper()
	text := string(config.Text)
	require.NotContains(t, text, "DIGEST")
	require.Contains(t, text, config.Digest)
	return strings.ReplaceAll(text, config.Digest, "DIGEST")
}

func loadCases(t *testing.T) []goldenCase {
	t.Helper()
	inputs, err := filepath.Glob("testdata/*/input.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, inputs)
	var cases []goldenCase
	for _, input := range inputs {
		cases = append(cases, loadCase(t, filepath.Dir(input)))
	}
	return cases
}

// requireNoStaleGolden fails if there is a golden that no case makes; with
// -update it deletes it.
func requireNoStaleGolden(t *testing.T, cases []goldenCase) {
	t.Helper()
	var made []string
	for _, c := range cases {
		for _, version := range c.Versions {
			made = append(made, c.goldenPath(version))
		}
	}
	found, err := filepath.Glob("testdata/*/want-*")
	require.NoError(t, err)
	stale := slices.DeleteFunc(found, func(path string) bool { return slices.Contains(made, path) })
	if golden.Updating() {
		for _, path := range stale {
			require.NoError(t, os.Remove(path))
		}
		return
	}
	require.Empty(t, stale, "golden files that no case makes: run make golden")
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
	params.IPv6, params.User, params.BehindControllers = c.IPv6, c.User, c.Behind
	if c.NoCADir {
		params.CADir, params.AnchorFile = "", ""
	}
	endpoints := testEndpoints(c.table)
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

// TestSameTableSameText generates a hundred times, as Go iterates over maps in a
// random order, and with the services in every order.
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
		got, err := nginxgen.Generate(shuffled, testEndpoints(shuffled), standardParams(debian))
		require.NoError(rt, err)
		require.Equal(rt, want.Digest, got.Digest)
	})
}

// TestDigestChangesOnlyForReloads asserts that a change of share, enabled, health
// check or the circuit breaker keeps the digest, and any other change does not.
func TestDigestChangesOnlyForReloads(t *testing.T) {
	t.Parallel()
	c := loadCase(t, "testdata/every-key")
	want := c.generate(t, debian)
	digestWith := func(change func(*migration.Service)) string {
		services := slices.Clone(c.table.Services())
		for i := range services {
			change(&services[i])
		}
		table, err := migration.NewTable(c.table.Global(), services)
		require.NoError(t, err)
		got, err := nginxgen.Generate(table, testEndpoints(table), standardParams(debian))
		require.NoError(t, err)
		return got.Digest
	}
	require.Equal(t, want.Digest, digestWith(func(s *migration.Service) {
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
		require.NotEqual(t, want.Digest, digestWith(change), name)
	}
}
