// Package grpccalls has only tests: calls of a real client of gRPC (google.golang.org/grpc)
// through a running proxy to real servers of gRPC.
package grpccalls
