package main

import (
	"net/netip"
	"time"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// timeGeneration measures the steps of the agent before it starts nginx -t: load
// the config, and generate nginx's.
func timeGeneration(text []byte) (load, generate time.Duration, err error) {
	begun := time.Now()
	table, err := config.Load("bench.yaml", text)
	if err != nil {
		return 0, 0, err
	}
	load, begun = time.Since(begun), time.Now()
	_, err = nginxgen.Generate(table, endpointsOf(table), nginxgen.Params{
		RuntimeDir: "/run/bench", Workers: 1, ErrorLog: "stderr", CAFile: "/ca.pem",
		Listen:    netip.MustParseAddrPort("127.0.0.1:80"),
		ListenNew: netip.MustParseAddrPort("127.0.0.1:81"),
		Version:   nginxgen.Version{Major: 1, Minor: 22, Patch: 1},
	})
	return load, time.Since(begun), err
}

func endpointsOf(table *migration.Table) nginxgen.Endpoints {
	endpoints := nginxgen.Endpoints{}
	for _, s := range table.Services() {
		for _, backend := range s.Backends() {
			endpoints[backend] = []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), backend.Port)}
		}
	}
	return endpoints
}
