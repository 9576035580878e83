// Package grpcside has one side of a migration as a server of gRPC, and a call of it.
//
// Takes:
//   - the name of the side
//
// Gives:
//   - a server whose answers say the name, with metadata and trailers
//   - the whole answer of a unary call
//
// Refuses:
//   - nothing: it serves every method, see Side.Serve
package grpcside
