// Package health probes both sides of each service the way traffic reaches
// them: with the same Host, server name, root certificates and client
// certificate.
//
// Takes:
//   - Targets (TargetsOf makes them from a migration.Service)
//   - a Resolver, which gives the addresses of a backend
//   - the services to probe on demand
//
// Gives:
//   - the results for a service (fallback.Probes), after thresholds
//   - a call of the Observer when a result changes
//
// Refuses:
//   - two probes of one target at once, and more than 32 probes in all: when
//     many targets hang, probes come late instead of all at once
//   - to blame a target for an error on this machine (no file descriptors, an
//     unreadable certificate): the error is in LastError and changes no result
//
// A probe takes one address and a new connection. The next probe takes the
// same address after a success, and the next address after a failure, as nginx
// does with traffic: with one of two addresses dead a side is healthy after one
// failure, and it is unhealthy when all its addresses are dead. The timeout
// covers a probe from connecting to the end of the response's header:
//
//	path given      GET; healthy by status. Redirects are not followed; one of new to
//	                what was asked for is a failure.
//	gRPC, path      call of grpc.health.v1.Health/Check; healthy if SERVING
//	https, no path  TCP and TLS handshake
//	http, no path   TCP connection
//
// With TLS 1.3 a server refuses a client's certificate after the handshake. A probe
// without a path waits for that, a second at most, if the server asked for one. A
// server that answers 400 instead of refusing (nginx does) needs a path.
//
// A certificate is judged as nginx judges it, see verify and matchesHost;
// TestProbesAndTraffic in package behavior compares. Files are those that nginx has
// read (Options.Files); they are read again when they have changed, and while they
// cannot be read, the last content is used. Not compared: key lengths and signature
// algorithms below the security level of the system's OpenSSL, and servers that
// only know finite-field Diffie-Hellman, which Go does not have.
package health
