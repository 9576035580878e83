package migration

import "net/http"

// Protocol is what the clients of a service speak, and both of its backends.
type Protocol string

// The protocols. gRPC is HTTP/2 without TLS from the ingress controller to the
// proxy; the scheme of a backend says whether the proxy uses TLS to it.
const (
	ProtocolHTTP Protocol = "http"
	ProtocolGRPC Protocol = "grpc"
)

// GRPCHealthPath is the method of the standard health service of gRPC, the only
// path that HealthCheck may have for a service with ProtocolGRPC.
const GRPCHealthPath = "/grpc.health.v1.Health/Check"

// GRPC tells whether the service has ProtocolGRPC.
func (s *Service) GRPC() bool { return s.Protocol == ProtocolGRPC }

// grpcStatuses are the HTTP statuses of the codes of gRPC, as google/rpc/code.proto
// has them. The code is the index.
var grpcStatuses = [...]int{
	http.StatusOK,
	499,                            // the caller ended the call
	http.StatusInternalServerError, // UNKNOWN
	http.StatusBadRequest,          // INVALID_ARGUMENT
	http.StatusGatewayTimeout,      // DEADLINE_EXCEEDED
	http.StatusNotFound,            // NOT_FOUND
	http.StatusConflict,            // ALREADY_EXISTS
	http.StatusForbidden,           // PERMISSION_DENIED
	http.StatusTooManyRequests,     // RESOURCE_EXHAUSTED
	http.StatusBadRequest,          // FAILED_PRECONDITION
	http.StatusConflict,            // ABORTED
	http.StatusBadRequest,          // OUT_OF_RANGE
	http.StatusNotImplemented,      // UNIMPLEMENTED
	http.StatusInternalServerError, // INTERNAL
	http.StatusServiceUnavailable,  // UNAVAILABLE
	http.StatusInternalServerError, // DATA_LOSS
	http.StatusUnauthorized,        // UNAUTHENTICATED
}

// StatusOfGRPC gives the HTTP status that a code of gRPC stands for in
// Fallback.OnStatus and in logs and metrics. A code that does not exist is UNKNOWN,
// as for clients.
//
//	0 OK                  200
//	4 DEADLINE_EXCEEDED   504
//	14 UNAVAILABLE        503
func StatusOfGRPC(code int) int {
	if code < 0 || code >= len(grpcStatuses) {
		return http.StatusInternalServerError
	}
	return grpcStatuses[code]
}

// GRPCCodes gives the codes of gRPC that stand for a status.
func GRPCCodes(status int) []int {
	var codes []int
	for code, stands := range grpcStatuses {
		if stands == status {
			codes = append(codes, code)
		}
	}
	return codes
}
