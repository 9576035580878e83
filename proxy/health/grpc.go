package health

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/migration"
)

// The messages of grpc.health.v1.Health/Check, with the five bytes that gRPC writes
// before each. A request without a name asks about the whole server.
var (
	healthRequest = []byte{0, 0, 0, 0, 0}
	serving       = []byte{0, 0, 0, 0, 2, 0x08, 1} // HealthCheckResponse{status: SERVING}
)

// askHealth asks the health service of gRPC. Its answer stands for an HTTP status: 200
// for SERVING, 503 for any other, and else that of the status of gRPC.
func askHealth(ctx context.Context, conn net.Conn, spec Spec) error {
	response, body, err := callOnce(ctx, conn, spec) //nolint:bodyclose // callOnce closes it
	if err != nil {
		return classify(ctx, fallback.FailureReset, err)
	}
	if response.StatusCode != http.StatusOK {
		return judgeStatus(response.StatusCode, spec)
	}
	status := migration.StatusOfGRPC(grpcCode(response))
	if status == http.StatusOK && !bytes.Equal(body, serving) {
		status = http.StatusServiceUnavailable
	}
	return judgeStatus(status, spec)
}

// callOnce makes one call on the connection, whose TLS is already done.
func callOnce(ctx context.Context, conn net.Conn, spec Spec) (*http.Response, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+spec.Host+spec.Check.Path, bytes.NewReader(healthRequest))
	if err != nil {
		return nil, nil, fmt.Errorf("not probed: %w", err)
	}
	request.Header.Set("User-Agent", "migration-proxy")
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("Te", "trailers")
	transport := &http.Transport{
		Protocols: new(http.Protocols), DisableCompression: true, MaxResponseHeaderBytes: maxHeaderBytes,
		DialContext: onceDialer(conn),
	}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxHeaderBytes))
	return response, body, err
}

// onceDialer gives a connection that exists, to the first who asks.
func onceDialer(conn net.Conn) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		if conn == nil {
			return nil, errors.New("the connection ended")
		}
		given := conn
		conn = nil
		return given, nil
	}
}

// grpcCode is the status of gRPC, which comes in the trailer or, without a message, in
// the header; -1 if there is none.
func grpcCode(response *http.Response) int {
	for _, header := range []http.Header{response.Trailer, response.Header} {
		if code, err := strconv.Atoi(header.Get("Grpc-Status")); err == nil {
			return code
		}
	}
	return -1
}
