package nginxgen

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"path/filepath"

	"github.com/migration-proxy/migration-proxy/migration"
)

// Params say where and on which nginx the config runs. Paths are absolute.
type Params struct {
	RuntimeDir string         // the one directory that nginx writes to
	Listen     netip.AddrPort // traffic
	ListenNew  netip.AddrPort // traffic that goes to new, always
	IPv6       bool           // listen on IPv6 too where the address is 0.0.0.0
	Workers    int            // worker processes
	OpenFiles  int            // that one worker may have; 0 is 65536
	User       string         // whose rights workers take; "" when not started by root
	ErrorLog   string         // a file, or "stderr"
	Version    Version
	// CAFile holds the system's trusted certificates, for backends that name
	// none of their own.
	CAFile string
	// CADir and AnchorFile stand in for CAFile where nginx cannot share TLS
	// contexts: OpenSSL's directory of hashed certificates, looked into when
	// needed, and a file with any one certificate, which nginx insists on.
	CADir, AnchorFile string
}

// Endpoints holds the addresses that each backend resolved to. A backend
// that is missing or has none is down; nginx starts all the same.
type Endpoints map[migration.Backend][]netip.AddrPort

// Config is what Generate gives.
type Config struct {
	Text []byte
	// Digest names the text, 16 hex digits; nginx serves it at /digest on
	// admin.sock, so that what is served can be told from what was asked for.
	Digest string
	// Rules are the names below new/ that some token may use.
	Rules []string
}

// digestMark stands for the digest until the text is complete. No alphabet
// has its arrows, so nothing of the user's is ever taken for it.
const digestMark = "→digest←"

// Generate writes the nginx config for a table. The same arguments give the
// same bytes; shares and enabled have no influence. An error is a defect, not
// a user's mistake.
func Generate(table *migration.Table, endpoints Endpoints, params Params) (Config, error) {
	draft := newDraft(table, endpoints, params)
	text, err := render(draft.tree())
	if err != nil {
		return Config{}, err
	}
	sum := sha256.Sum256(text)
	digest := hex.EncodeToString(sum[:8])
	text = bytes.ReplaceAll(text, []byte(digestMark), []byte(digest))
	return Config{Text: text, Digest: digest, Rules: sortedKeys(draft.rules)}, nil
}

// draft is a config while it is being written.
type draft struct {
	params    Params
	endpoints Endpoints
	table     *migration.Table
	userKeys  map[migration.HashKey]string // how a key's variables are named
	maps      directives                   // what tokens are made of, each written once
	shared    map[string]string            // content of a map -> its variable
	rules     map[string]bool              // see Config.Rules
}

func newDraft(table *migration.Table, endpoints Endpoints, params Params) *draft {
	return &draft{
		params: params, endpoints: endpoints, table: table,
		userKeys: userKeys(table), shared: map[string]string{}, rules: map[string]bool{},
	}
}

// tree is the whole config.
func (d *draft) tree() directives {
	servers := d.servers() // first: it fills maps and rules
	return append(d.process(), block("http", nil,
		d.basics(),
		d.logging(),
		d.clientFacts(),
		d.towardsBackends(),
		d.routing(),
		d.maps,
		d.adminServer(),
		d.unknownHostServer(),
		servers,
	))
}

// path is a file or directory below the runtime directory.
func (d *draft) path(elements ...string) string {
	return filepath.Join(append([]string{d.params.RuntimeDir}, elements...)...)
}

// any tells whether some service has a property.
func (d *draft) any(has func(*migration.Service) bool) bool {
	services := d.table.Services()
	for i := range services {
		if has(&services[i]) {
			return true
		}
	}
	return false
}
