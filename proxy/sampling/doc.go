// Package sampling asks both sides of a service the same request, as nginx asks them for
// clients, and judges the answers with package compare.
//
// Takes:
//   - the runtime directory of an nginx with the sockets of a comparison
//   - requests that clients have sent; a Sampler finds them in the access log
//
// Gives:
//   - a compare.Sample with its verdict
//
// Refuses:
//   - other methods than GET and HEAD, and to send a body
//   - to send a cookie or credentials, unless the caller names them; a Sampler never does
//   - to follow redirects, and to read more than compare.MaxBody of a body
//
// Each request has the headers that an ingress controller would add, User-Agent
// migration-proxy-compare and X-Migration-Compare: 1, so that an application can leave it
// out of its statistics. Its client is 192.0.2.1, an address that nobody has.
package sampling
