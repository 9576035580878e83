package nginxgen

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"path/filepath"

	"github.com/migration-proxy/migration-proxy/migration"
)

// Params says where and on which nginx the config runs. Paths are absolute.
type Params struct {
	RuntimeDir string         // the only directory that nginx writes to
	Listen     netip.AddrPort // traffic; the zero value is none
	ListenNew  netip.AddrPort // traffic that always goes to new; the zero value is none
	ListenGRPC netip.AddrPort // HTTP/2, if a service has ProtocolGRPC
	Addresses  []netip.Addr   // of this machine: a backend with one of them, and a port of ours, is this proxy
	IPv6       bool           // listen on IPv6 too where the address is 0.0.0.0
	Workers    int            // worker processes
	OpenFiles  int            // the limit of one worker; 0 means 65536
	User       string         // the user of the workers; "" when nginx is not started by root
	ErrorLog   string         // a file, or "stderr"
	Version    Version
	// PCREJIT makes nginx compile regular expressions to machine code. An nginx or a PCRE
	// library without it would give a warning.
	PCREJIT bool
	// BehindControllers says that only ingress controllers send requests, as in a
	// cluster: backends get all headers about the client as they come in, and no
	// others. Otherwise clients may reach the proxy too, and it says who they are.
	BehindControllers bool
	// Compare gives every service the sockets CompareOldSocket and CompareNewSocket, not only
	// those that are compared all the time.
	Compare bool
	// CAFile holds the trusted certificates of the system, for services without
	// a ca_file.
	CAFile string
	// CADir and AnchorFile replace CAFile for an nginx that does not share TLS
	// contexts (before 1.23.2). CADir is OpenSSL's directory of hashed
	// certificates, which is read only when needed. AnchorFile holds any one
	// certificate, as nginx requires a file.
	CADir, AnchorFile string
	// Files are copies of the certificate files. They change while a process runs.
	Files Files `json:"-"`
}

// Endpoints holds the addresses that each backend resolved to. A backend that is
// missing or has no address is marked down; nginx starts nevertheless.
type Endpoints map[migration.Backend][]netip.AddrPort

// Config is the result of Generate.
type Config struct {
	// Text is the content of nginx.conf.
	Text []byte
	// Digest identifies the text: 16 hex digits of its SHA-256. nginx serves it
	// at /digest on admin.sock, so that the agent sees which text is in force.
	Digest string
	// Rules are the names below new/ that tokens of this text may have, sorted.
	Rules []string
}

// digestMark is the placeholder of the digest until the text is complete. No
// alphabet of package migration has its arrows, so no value of a user equals it.
const digestMark = "→digest←"

// Generate writes the nginx config for a table. The same arguments give the
// same bytes; share and enabled have no influence. An error means a defect of
// this package, not a wrong config.
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

// draft is a config under construction.
type draft struct {
	params    Params
	endpoints Endpoints
	table     *migration.Table
	userKeys  map[migration.HashKey]string // name of a key's variables
	maps      directives                   // the maps of the tokens, see intern
	interned  map[string]string            // content of a map -> its variable
	rules     map[string]bool              // see Config.Rules
	usual     usual
	groups    map[backendOf]*group
	loopID    string                  // see loopHeader
	newHosts  map[migration.Host]bool // of all services

	// usesGRPC tells whether some service speaks gRPC. Without one the text has nothing
	// about it: nginx may lack the module.
	usesGRPC    bool
	comparesAny bool // see compared
}

func newDraft(table *migration.Table, endpoints Endpoints, params Params) *draft {
	d := &draft{
		params: params, endpoints: endpoints, table: table,
		userKeys: userKeys(table), interned: map[string]string{}, rules: map[string]bool{},
	}
	d.usesGRPC, d.comparesAny = d.any((*migration.Service).GRPC), d.any(d.compared)
	d.usual, d.groups = d.findUsual(), d.findGroups()
	d.loopID, d.newHosts = loopID(table), map[migration.Host]bool{}
	for _, s := range table.Services() {
		d.newHosts[s.NewHost] = true
	}
	return d
}

// tree gives the whole config.
func (d *draft) tree() directives {
	servers := d.servers() // before the rest: it fills d.maps and d.rules
	return append(d.mainContext(), block("http", nil,
		d.httpDefaults(),
		d.logging(),
		d.clientMaps(),
		d.proxyDefaults(),
		d.compareMaps(),
		d.routing(),
		d.caching(),
		d.maps,
		d.adminServer(),
		d.loopServer(),
		d.unknownHostServer(),
		d.unknownHostGRPC(),
		servers,
	))
}

// path gives the path of a file or directory below the runtime directory.
func (d *draft) path(elements ...string) string {
	return filepath.Join(append([]string{d.params.RuntimeDir}, elements...)...)
}

// any tells whether at least one service has a property.
func (d *draft) any(has func(*migration.Service) bool) bool {
	services := d.table.Services()
	for i := range services {
		if has(&services[i]) {
			return true
		}
	}
	return false
}
