// Package testbed is a small world on the loopback interface: certificates
// made on the spot, backends that misbehave on demand and count what reaches
// them, and clients that load them and count what comes back.
//
// Takes: options as plain values.
// Gives: real sockets, real TLS, real HTTP; every number it reports was
// counted, not assumed.
// Refuses: to listen anywhere but on 127.0.0.1, and to retry anything
// silently: a request that was lost is reported as lost.
//
// It may be imported by tests of every room, by bench and by the demo
// command; therefore it never imports testing.
package testbed
