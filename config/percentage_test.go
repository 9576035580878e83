package config_test

import (
	"path/filepath"
	"testing"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/stretchr/testify/require"
)

// TestSetPercentage sets service api to 12.5 % in testdata/percentage/*.yaml
// and compares with the .want beside it.
func TestSetPercentage(t *testing.T) {
	t.Parallel()
	files := glob(t, "testdata/percentage/*.yaml")
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(caseName(file), func(t *testing.T) {
			t.Parallel()
			changed, err := config.SetPercentage(filepath.Base(file), readFile(t, file), "api", 1250)
			require.NoError(t, err)
			table, err := config.Load(file, changed)
			require.NoError(t, err)
			require.Equal(t, migration.Share(1250), table.Service("api").Share)
			golden(t, file[:len(file)-len(".yaml")]+".want", string(changed))
		})
	}
}

func TestSetPercentageOutOfRange(t *testing.T) {
	t.Parallel()
	_, err := config.SetPercentage("f.yaml", readFile(t, "../examples/minimal.yaml"), "api", migration.FullShare+1)
	require.EqualError(t, err, "100.01 is out of range: a percentage goes from 0 to 100")
}

func TestSetPercentageRefuses(t *testing.T) {
	t.Parallel()
	good := string(readFile(t, "../examples/minimal.yaml"))
	for name, c := range map[string]struct {
		text    string
		service migration.Name
		want    string
	}{
		"unknown service": {good, "ape", `f.yaml has no service "ape"; did you mean "api"?`},
		"bad text":        {"services: 1\n", "api", `f.yaml:1:11: services: must be a list, not the number "1"`},
		"layout": {
			"services:\n  - name: api\n    old_host: a\n    old_backend: a:80\n    new_host: b\n    new_backend: b:80\n    migration:\n      ? enabled\n      : true\n",
			"api", `f.yaml:2: the layout of service "api" cannot be edited by program; write migration.percentage: 1 by hand`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			changed, err := config.SetPercentage("f.yaml", []byte(c.text), c.service, 100)
			require.ErrorContains(t, err, c.want)
			require.Nil(t, changed)
		})
	}
}
