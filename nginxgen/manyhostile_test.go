package nginxgen_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	crossplane "github.com/nginxinc/nginx-go-crossplane"
	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// TestManyHostileConfigs makes configs of random keys with random hostile values. What
// config accepts, nginx accepts too, many services in one nginx -t, and the text has no
// directive but those of the golden configs. MIGRATION_PROXY_HOSTILE is how many configs
// are tried; the seed is in the log.
func TestManyHostileConfigs(t *testing.T) {
	t.Parallel()
	wanted := 2000
	if text := os.Getenv("MIGRATION_PROXY_HOSTILE"); text != "" {
		var err error
		wanted, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	run := &hostileRun{random: rand.New(rand.NewPCG(seed, 0)), machine: newMachine(t), version: nginxVersion(t)}
	run.known = directiveNames(t, run.version)
	run.full = loadDocument(t).root.(map[string]any)
	began := time.Now()
	for range wanted {
		run.try(t)
	}
	run.flush(t)
	t.Logf("%d configs, %d accepted by config and by nginx, %.0f a second", wanted, run.accepted, float64(wanted)/time.Since(began).Seconds())
	require.Greater(t, run.accepted, wanted/100)
}

// hostileRun collects the accepted services of many configs.
type hostileRun struct {
	random   *rand.Rand
	machine  machine
	version  nginxgen.Version
	known    map[string]bool
	full     map[string]any
	waiting  []migration.Service
	accepted int
}

// podFiles is where the full document has its certificates.
const podFiles = "/etc/migration-proxy/"

// servicesPerTest is how many services one nginx -t tests.
const servicesPerTest = 1000

func (r *hostileRun) try(t *testing.T) {
	text, place := r.text(t)
	table, err := config.Load("hostile.json", text)
	if err != nil {
		require.Regexp(t, `^hostile\.json:\d+:\d+: `, err.Error())
		return
	}
	r.accepted++
	s := unique(place, table.Services()[0], r.accepted)
	for _, path := range []*string{&s.TLS.CAFile, &s.TLS.ClientCertFile, &s.TLS.ClientKeyFile} {
		if !slices.Contains([]string{"ca.pem", "client.pem", "client.key"}, strings.TrimPrefix(*path, podFiles)) {
			*path = strings.Replace(*path, podFiles, "/etc/other/", 1) // requireAccepted only knows these three
		}
	}
	r.machine.provide(t, &s.TLS)
	if r.waiting = append(r.waiting, s); len(r.waiting) == servicesPerTest {
		r.flush(t)
	}
}

// flush lets nginx test what waits.
func (r *hostileRun) flush(t *testing.T) {
	if len(r.waiting) == 0 {
		return
	}
	table := merge(t, r.waiting)
	r.waiting = nil
	generated, err := nginxgen.Generate(table, testEndpoints(table), standardParams(r.version))
	require.NoError(t, err)
	for name := range namesOf(t, generated.Text) {
		require.True(t, r.known[name], "a foreign directive: %s", name)
	}
	r.machine.requireAccepted(t, generated.Text)
}

// text is a config with one service: the keys that it needs, some others of the full
// document, and one or two hostile values.
func (r *hostileRun) text(t *testing.T) ([]byte, place) {
	from := r.full["services"].([]any)[0].(map[string]any)
	service := map[string]any{}
	for key, value := range from {
		if slices.Contains([]string{"name", "old_host", "old_backend", "new_host", "new_backend"}, key) || r.random.IntN(4) == 0 {
			service[key] = clone(value)
		}
	}
	document := map[string]any{"services": []any{service}}
	if r.random.IntN(8) == 0 {
		document["global"] = clone(r.full["global"])
	}
	places := slices.DeleteFunc(walk("", document, nil), func(p place) bool { return p.isKey })
	var last place
	for range 1 + r.random.IntN(2) {
		last = places[r.random.IntN(len(places))]
		last.set(r.value(last))
	}
	text, err := json.Marshal(document)
	require.NoError(t, err)
	return text, last
}

// value is a hostile value, one inside a harmless one, or two in a row.
func (r *hostileRun) value(p place) string {
	pick := func() string { return hostile[r.random.IntN(len(hostile))] }
	original := p.original()
	switch at := r.random.IntN(len(original) + 1); r.random.IntN(6) {
	case 0:
		return pick()
	case 1:
		return pick() + pick()
	case 2:
		return original[:at] + pick() + original[at:]
	case 3:
		return original[:at] + string(rune(r.random.IntN(0x180))) + original[at:]
	default: // printable
		return original[:at] + string(rune('!'+r.random.IntN('~'-'!'+1))) + original[at:]
	}
}

func clone(value any) any {
	switch value := value.(type) {
	case map[string]any:
		copied := maps.Clone(value)
		for key := range copied {
			copied[key] = clone(copied[key])
		}
		return copied
	case []any:
		copied := slices.Clone(value)
		for i := range copied {
			copied[i] = clone(copied[i])
		}
		return copied
	}
	return value
}

// directiveNames are the names of the directives of all golden configs.
func directiveNames(t *testing.T, version nginxgen.Version) map[string]bool {
	known := map[string]bool{}
	for _, c := range loadCases(t) {
		maps.Copy(known, namesOf(t, c.generate(t, version).Text))
	}
	return known
}

// namesOf are the names of the directives in a text. The entries of a table are data.
func namesOf(t *testing.T, text []byte) map[string]bool {
	payload, err := crossplane.Parse("nginx.conf", &crossplane.ParseOptions{
		SingleFile: true, StopParsingOnError: true, SkipDirectiveContextCheck: true, SkipDirectiveArgsCheck: true,
		Open: func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil },
	})
	require.NoError(t, err)
	names := map[string]bool{}
	addNames(names, payload.Config[0].Parsed)
	return names
}

func addNames(names map[string]bool, all crossplane.Directives) {
	for _, d := range all {
		names[d.Directive] = true
		if !slices.Contains([]string{"map", "geo", "split_clients"}, d.Directive) {
			addNames(names, d.Block)
		}
	}
}
