package grpcside

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // clients may compress
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// The methods that a Side serves in a special way; all others return each message.
const (
	Echo = "/t.T/Echo" // each message comes back
	Hang = "/t.T/Hang" // nothing until the client leaves
	Die  = "/t.T/Die"  // the server dies after the first message
)

// Message is that of the status of every StatusMethod.
const Message = "as asked for"

// StatusMethod is answered with the status after its first message.
func StatusMethod(code codes.Code) string { return fmt.Sprintf("/t.T/Status-%d", code) }

// Side answers each call with its name in the metadata "side", the authority of the
// call in "authority", and the call's metadata "meta-bin" as trailer "echo-bin".
type Side struct {
	Name string
	Seen func(method string) // called with each call; it may be nil
	Die  func()              // ends the server
}

// Serve makes a server of the Side and of gRPC's own health service.
func (s *Side) Serve(options ...grpc.ServerOption) *grpc.Server {
	server := grpc.NewServer(append(options, grpc.ForceServerCodec(Codec{}), grpc.UnknownServiceHandler(s.answer))...)
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	return server
}

func (s *Side) answer(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	if s.Seen != nil {
		s.Seen(method)
	}
	sent, _ := metadata.FromIncomingContext(stream.Context())
	if err := stream.SetHeader(metadata.Pairs("side", s.Name, "authority", strings.Join(sent.Get(":authority"), ","))); err != nil {
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

func (s *Side) act(method string, stream grpc.ServerStream, message []byte) error {
	var code codes.Code
	switch {
	case method == Hang:
		<-stream.Context().Done()
		return stream.Context().Err()
	case method == Die:
		go s.Die()
		<-stream.Context().Done()
		return stream.Context().Err()
	case wantsStatus(method, &code):
		return status.Error(code, Message)
	}
	return stream.SendMsg(&message)
}

func wantsStatus(method string, code *codes.Code) bool {
	var number uint32
	_, err := fmt.Sscanf(method, "/t.T/Status-%d", &number)
	*code = codes.Code(number)
	return err == nil
}
