package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
	"github.com/spf13/cobra"
)

type renderOptions struct {
	listeners
	dir, runtimeDir, caFile, version string
	resolve                          bool
}

func newRender() *cobra.Command {
	var options renderOptions
	cmd := &cobra.Command{
		Use:   "render FILE|-",
		Short: "Print the nginx config that a migration config becomes",
		Long: `Print the nginx config that a migration config becomes.

The text depends on FILE and the flags alone: a backend's name is not looked
up but stands as an address from 2001:db8::/32, which is reserved for
documentation; standard error says which is which. With --resolve names are
looked up here and now, and a backend without an address is marked down, as
the proxy does it. Shares are not in the text: they are files beside it that
change without a reload.`,
		Example: `  migration-proxy render migration.yaml | less
  migration-proxy render migration.yaml --dir /tmp/rendered --nginx-version 1.30.4`,
		Args:              exactly("FILE"),
		ValidArgsFunction: completeFile,
		RunE:              func(cmd *cobra.Command, args []string) error { return render(cmd, args[0], options) },
	}
	options.flags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&options.dir, "dir", "", "write nginx.conf into this folder instead")
	flags.StringVar(&options.version, "nginx-version", "1.22.1", "the nginx to write for")
	flags.StringVar(&options.runtimeDir, "runtime-dir", "/run/migration-proxy", "where that nginx runs")
	flags.StringVar(&options.caFile, "ca-file", "/etc/ssl/certs/ca-certificates.crt", "the system's trusted certificates")
	flags.BoolVar(&options.resolve, "resolve", false, "look names up")
	return cmd
}

func render(cmd *cobra.Command, file string, options renderOptions) error {
	version, err := nginxgen.ParseVersion("nginx/" + options.version)
	if err != nil {
		return wrongUsage("--nginx-version %q: write it like 1.22.1", options.version)
	}
	table, err := loadTable(cmd, file)
	if err != nil {
		return err
	}
	endpoints := standIns(table, cmd.ErrOrStderr())
	if options.resolve {
		endpoints = lookUp(cmd.Context(), table, cmd.ErrOrStderr())
	}
	generated, err := nginxgen.Generate(table, endpoints, nginxgen.Params{
		RuntimeDir: options.runtimeDir,
		Listen:     options.listen.AddrPort,
		ListenNew:  options.listenNew.AddrPort,
		IPv6:       options.listen.All,
		Workers:    1,
		ErrorLog:   filepath.Join(options.runtimeDir, "error.log"),
		Version:    version,
		CAFile:     options.caFile,
	})
	if err != nil {
		return fmt.Errorf("generate nginx config: %w", err)
	}
	return deliver(cmd.OutOrStdout(), options.dir, generated.Text)
}

func deliver(w io.Writer, dir string, text []byte) error {
	if dir == "" {
		_, err := w.Write(text)
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write nginx config: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), text, 0o644); err != nil {
		return fmt.Errorf("write nginx config: %w", err)
	}
	return nil
}

// backends gives each backend of the table once, in the order of the
// services, old before new.
func backends(table *migration.Table) []migration.Backend {
	var all []migration.Backend
	seen := map[migration.Backend]bool{}
	for _, service := range table.Services() {
		for _, backend := range []migration.Backend{service.OldBackend, service.NewBackend} {
			if !seen[backend] {
				seen[backend] = true
				all = append(all, backend)
			}
		}
	}
	return all
}

// standIns gives each name an address of its own that nobody has: the first
// one 2001:db8::1.
func standIns(table *migration.Table, notes io.Writer) nginxgen.Endpoints {
	endpoints := nginxgen.Endpoints{}
	for i, backend := range backends(table) {
		addr, written := backend.Addr()
		if !written {
			bytes := netip.MustParseAddr("2001:db8::").As16()
			binary.BigEndian.PutUint32(bytes[12:], uint32(i+1))
			addr = netip.AddrFrom16(bytes)
			fmt.Fprintf(notes, "note: %s stands for %s\n", addr, backend.Host)
		}
		endpoints[backend] = []netip.AddrPort{netip.AddrPortFrom(addr, backend.Port)}
	}
	return endpoints
}

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
