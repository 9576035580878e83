// Package health asks both sides of each service whether they are well, the
// way traffic would ask: same Host, server name, trust and client
// certificate.
//
// Takes: Targets (For makes them of a migration.Service), a function that
// gives a backend's addresses, and word of who is to be probed on demand.
// Gives: what is known of a service (fallback.Probes), after thresholds, and a
// call when a verdict changes.
// Refuses: to have two probes under way at one target, or more than
// Options.Workers at all: when many targets hang, probes come late, not in
// numbers. What goes wrong on this machine (no descriptors, an unreadable
// certificate) is nobody's ill health: it is told in LastError and judges
// nothing.
//
// A probe asks one address on a new connection. It stays with one that is well
// and leaves one that is not for the next, as nginx does with traffic: with one
// of two addresses dead, a side is well after one failure, and ill when all its
// addresses are. It lasts as long as Timeout allows, from
// connecting to the end of the response's header:
//
//	path given      GET; healthy by status. Redirects are not followed.
//	https, no path  TCP and TLS handshake
//	http, no path   TCP connection
//
// With TLS 1.3 a server refuses a client's certificate after the handshake:
// only a probe with a path sees it.
//
// The certificate is judged as nginx judges it: also by its common name, when
// it carries no DNS name (tried on 1.22.1). Files are read again when they have
// changed; while they cannot be read, what was read last is used, as nginx does.
//
// Only cmd and package proxy import it.
package health
