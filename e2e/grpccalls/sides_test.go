package grpccalls

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // clients may compress
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// codec passes bytes as they are, and messages of protobuf as usual.
type codec struct{}

func (codec) Marshal(v any) ([]byte, error) {
	if message, ok := v.(proto.Message); ok {
		return proto.Marshal(message)
	}
	return *v.(*[]byte), nil
}

func (codec) Unmarshal(data []byte, v any) error {
	if message, ok := v.(proto.Message); ok {
		return proto.Unmarshal(data, message)
	}
	*v.(*[]byte) = append([]byte{}, data...)
	return nil
}

func (codec) Name() string { return "proto" }

// side is a server of gRPC.
type side struct {
	name    string
	address string
	server  *grpc.Server

	mu    sync.Mutex
	calls map[string]int
}

func startSide(t *testing.T, name string, secure credentials.TransportCredentials) *side {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &side{name: name, address: listener.Addr().String(), calls: map[string]int{}}
	if secure == nil {
		secure = insecure.NewCredentials()
	}
	s.server = grpc.NewServer(grpc.Creds(secure), grpc.ForceServerCodec(codec{}), grpc.UnknownServiceHandler(s.answer))
	grpc_health_v1.RegisterHealthServer(s.server, health.NewServer())
	go func() { _ = s.server.Serve(listener) }()
	t.Cleanup(s.server.Stop)
	return s
}

func (s *side) count(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[method]
}

// answer serves every method:
//
//	/t.T/Echo         each message comes back
//	/t.T/Status-CODE  that status, after the first message
//	/t.T/Hang         nothing until the client leaves
//	/t.T/Die          the server dies after the first message
func (s *side) answer(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	s.mu.Lock()
	s.calls[method]++
	s.mu.Unlock()
	sent, _ := metadata.FromIncomingContext(stream.Context())
	if err := stream.SetHeader(metadata.Pairs("side", s.name, "authority", strings.Join(sent.Get(":authority"), ","))); err != nil {
		return err
	}
	stream.SetTrailer(metadata.Pairs("echo-bin", strings.Join(sent.Get("meta-bin"), ",")))
	var message []byte
	for {
		err := stream.RecvMsg(&message)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.act(method, stream, message); err != nil {
			return err
		}
	}
}

func (s *side) act(method string, stream grpc.ServerStream, message []byte) error {
	var code codes.Code
	switch {
	case method == "/t.T/Hang":
		<-stream.Context().Done()
		return stream.Context().Err()
	case method == "/t.T/Die":
		go s.server.Stop()
		<-stream.Context().Done()
		return stream.Context().Err()
	case scan(method, &code):
		return status.Error(code, "as asked for")
	}
	return stream.SendMsg(&message)
}

func scan(method string, code *codes.Code) bool {
	var number uint32
	_, err := fmt.Sscanf(method, "/t.T/Status-%d", &number)
	*code = codes.Code(number)
	return err == nil
}

// answer is the result of a unary call.
type answer struct {
	message         string
	header, trailer metadata.MD
	err             error
}

func (a answer) side() string { return strings.Join(a.header.Get("side"), ",") }

func unary(ctx context.Context, conn *grpc.ClientConn, method, message string, options ...grpc.CallOption) answer {
	var a answer
	request, response := []byte(message), []byte{}
	a.err = conn.Invoke(ctx, method, &request, &response,
		append(options, grpc.ForceCodec(codec{}), grpc.Header(&a.header), grpc.Trailer(&a.trailer))...)
	a.message = string(response)
	return a
}
