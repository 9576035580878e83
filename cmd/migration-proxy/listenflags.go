package main

import (
	"github.com/spf13/cobra"

	"github.com/migration-proxy/migration-proxy/internal/listen"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// listeners are the flags of the ports that carry traffic.
type listeners struct{ listen, listenNew, listenGRPC listen.Address }

func (l *listeners) flags(cmd *cobra.Command) {
	l.listen, l.listenNew = listen.OnAll(names.TrafficTargetPort), listen.OnAll(names.NewPort)
	l.listenGRPC = listen.OnAll(names.GRPCPort)
	cmd.Flags().Var(&l.listen, "listen", "where traffic comes in")
	cmd.Flags().Var(&l.listenNew, "listen-new", "where traffic comes in that always goes to new")
	cmd.Flags().Var(&l.listenGRPC, "listen-grpc", "where HTTP/2 comes in, if a service has protocol grpc")
}
