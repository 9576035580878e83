package config_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/golden"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/stretchr/testify/require"
)

// edit is SetPercentage or SetEnabled with a fixed value.
type edit func(name string, text []byte, service migration.Name) (config.Edit, error)

func setPercentage(share migration.Share) edit {
	return func(name string, text []byte, service migration.Name) (config.Edit, error) {
		return config.SetPercentage(name, text, service, share)
	}
}

func setEnabled(enabled bool) edit {
	return func(name string, text []byte, service migration.Name) (config.Edit, error) {
		return config.SetEnabled(name, text, service, enabled)
	}
}

// TestSet edits service api in testdata/*/*.yaml and compares the text with the
// .want file beside it.
func TestSet(t *testing.T) {
	t.Parallel()
	for folder, edit := range map[string]edit{"percentage": setPercentage(1250), "enabled": setEnabled(true)} {
		files := glob(t, "testdata/"+folder+"/*.yaml")
		require.NotEmpty(t, files)
		for _, file := range files {
			t.Run(folder+"/"+caseName(file), func(t *testing.T) {
				t.Parallel()
				changed, err := edit(filepath.Base(file), readFile(t, file), "api")
				require.NoError(t, err)
				golden.Check(t, strings.TrimSuffix(file, ".yaml")+".want", changed.Text)
			})
		}
	}
}

func TestSetPercentageOutOfRange(t *testing.T) {
	t.Parallel()
	_, err := config.SetPercentage("f.yaml", readFile(t, "../examples/minimal.yaml"), "api", migration.FullShare+1)
	require.EqualError(t, err, "100.01 is out of range: a percentage goes from 0 to 100")
}

// oddLayout writes a key in the long form of YAML.
const oddLayout = `services:
  - name: api
    old_host: a
    old_backend: a:80
    new_host: b
    new_backend: b:80
    migration:
      ? enabled
      : true
`

func TestSetRefuses(t *testing.T) {
	t.Parallel()
	good := string(readFile(t, "../examples/minimal.yaml"))
	for name, c := range map[string]struct {
		text    string
		service migration.Name
		edit    edit
		want    string
	}{
		"no services":     {"services: []\n", "api", setPercentage(100), `f.yaml has no service "api", because it has no services yet: write one under the key services`},
		"unknown service": {good, "ape", setPercentage(100), `f.yaml has no service "ape"; did you mean "api"?`},
		"bad text":        {"services: 1\n", "api", setEnabled(true), `f.yaml:1:11: services: must be a list, not the number "1"`},
		"layout": {
			oddLayout, "api", setPercentage(100), `f.yaml:2: a program cannot edit the layout of service "api"; write migration.percentage: 1 by hand`,
		},
		"layout without the key": {
			strings.Replace(oddLayout, "? enabled\n      : true", "? percentage\n      : 20", 1), "api", setEnabled(true), `f.yaml:2: a program cannot edit the layout of service "api"; write migration.enabled: true by hand`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			changed, err := c.edit("f.yaml", []byte(c.text), c.service)
			require.ErrorContains(t, err, c.want)
			require.Zero(t, changed)
		})
	}
}

// TestSetGivesTheTables: an Edit has the tables, so that no caller loads the texts
// again.
func TestSetGivesTheTables(t *testing.T) {
	t.Parallel()
	text := readFile(t, "../examples/minimal.yaml")
	edit, err := config.SetPercentage("f.yaml", text, "api", 1250)
	require.NoError(t, err)
	before, err := config.Load("f.yaml", text)
	require.NoError(t, err)
	after, err := config.Load("f.yaml", edit.Text)
	require.NoError(t, err)
	require.Equal(t, before.Digest(), edit.Before.Digest())
	require.Equal(t, after.Digest(), edit.After.Digest())
	require.Equal(t, migration.Share(1250), edit.After.Service("api").Share)

	again, err := config.SetPercentage("f.yaml", edit.Text, "api", 1250)
	require.NoError(t, err)
	require.Equal(t, edit.Text, again.Text)
	require.Equal(t, edit.After.Digest(), again.After.Digest())
	require.Equal(t, edit.After.Digest(), again.Before.Digest())
}
