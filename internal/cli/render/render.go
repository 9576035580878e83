// Package render gives the nginx config that a migration config becomes.
//
// Takes:
//   - the table of the migration config
//   - what else the text depends on: addresses, nginx's version, paths
//
// Gives:
//   - the text of nginx.conf
//   - notes: which address is a placeholder, and which name has none
//
// Refuses:
//   - what nginxgen.Generate refuses
package render

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/migration-proxy/migration-proxy/internal/listen"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// Options are what the text depends on, other than the migration config.
type Options struct {
	Listen, ListenNew, ListenGRPC listen.Address

	RuntimeDir        string // of the proxy that would serve the text
	CAFile            string // the system's trusted certificates
	Version           nginxgen.Version
	Resolve           bool // look the names of backends up; else they get placeholders
	BehindControllers bool // as in nginxgen.Params
}

// Generate gives the text, and writes the notes as lines.
func Generate(ctx context.Context, table *migration.Table, options Options, notes io.Writer) ([]byte, error) {
	endpoints := placeholders(table, notes)
	if options.Resolve {
		endpoints = lookUp(ctx, table, notes)
	}
	generated, err := nginxgen.Generate(table, endpoints, nginxgen.Params{
		RuntimeDir: options.RuntimeDir,
		Listen:     options.Listen.AddrPort,
		ListenNew:  options.ListenNew.AddrPort,
		ListenGRPC: options.ListenGRPC.AddrPort,
		IPv6:       options.Listen.All,
		Workers:    1,
		ErrorLog:   filepath.Join(options.RuntimeDir, "error.log"),
		Version:    options.Version,
		CAFile:     options.CAFile,

		BehindControllers: options.BehindControllers,
	})
	if err != nil {
		return nil, fmt.Errorf("generate nginx config: %w", err)
	}
	return generated.Text, nil
}

// WriteFile writes the text to nginx.conf in the folder, which it creates. Only this user
// may read the file: the values of header rules are in it.
func WriteFile(dir string, text []byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write nginx config: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), text, 0o600); err != nil {
		return fmt.Errorf("write nginx config: %w", err)
	}
	return nil
}

// backends are those of all services, each once: in the order of the services,
// old before new.
func backends(table *migration.Table) []migration.Backend {
	var all []migration.Backend
	seen := map[migration.Backend]bool{}
	for _, service := range table.Services() {
		for _, backend := range service.Backends() {
			if !seen[backend] {
				seen[backend] = true
				all = append(all, backend)
			}
		}
	}
	return all
}

// placeholders gives each name an address from the range for documentation:
// 2001:db8::1 to the first backend, 2001:db8::2 to the second.
func placeholders(table *migration.Table, notes io.Writer) nginxgen.Endpoints {
	endpoints := nginxgen.Endpoints{}
	for i, backend := range backends(table) {
		addr, isAddress := backend.Addr()
		if !isAddress {
			bytes := netip.MustParseAddr("2001:db8::").As16()
			binary.BigEndian.PutUint32(bytes[12:], uint32(i+1))
			addr = netip.AddrFrom16(bytes)
			fmt.Fprintf(notes, "note: %s stands for %s\n", addr, backend.Host)
		}
		endpoints[backend] = []netip.AddrPort{netip.AddrPortFrom(addr, backend.Port)}
	}
	return endpoints
}

// lookUp asks the name servers of this machine.
func lookUp(ctx context.Context, table *migration.Table, notes io.Writer) nginxgen.Endpoints {
	endpoints := nginxgen.Endpoints{}
	for _, backend := range backends(table) {
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", backend.Host)
		if err != nil {
			fmt.Fprintf(notes, "note: %s is marked down: %v\n", backend.Host, err)
		}
		for _, addr := range addrs {
			endpoints[backend] = append(endpoints[backend], netip.AddrPortFrom(addr.Unmap(), backend.Port))
		}
	}
	return endpoints
}
