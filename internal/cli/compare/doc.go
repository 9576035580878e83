// Package compare asks old and new the same requests and prints in what their answers
// differ.
//
// Takes:
//   - a migration config, and paths or an access log (Offline): it starts an nginx of its
//     own, without ports, so that both sides are asked as they are asked for clients
//   - or the comparison that running proxies make (Running)
//
// Gives:
//   - the findings as a table or JSON
//   - an error when the answers are less alike than the user wants
//
// Refuses:
//   - services with protocol grpc
//   - a comparison without a single sample: it would say that all is well
package compare
