package grpcside

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// Codec passes bytes as they are, and messages of protobuf as usual.
type Codec struct{}

// Marshal implements encoding.Codec.
func (Codec) Marshal(v any) ([]byte, error) {
	if message, ok := v.(proto.Message); ok {
		return proto.Marshal(message)
	}
	return *v.(*[]byte), nil
}

// Unmarshal implements encoding.Codec.
func (Codec) Unmarshal(data []byte, v any) error {
	if message, ok := v.(proto.Message); ok {
		return proto.Unmarshal(data, message)
	}
	*v.(*[]byte) = append([]byte{}, data...)
	return nil
}

// Name implements encoding.Codec: the calls look like those of protobuf.
func (Codec) Name() string { return "proto" }

// Answer is the result of a unary call.
type Answer struct {
	Message         string
	Header, Trailer metadata.MD
	Err             error
}

// Side is the name of the Side that answered.
func (a Answer) Side() string { return strings.Join(a.Header.Get("side"), ",") }

// Unary sends one message, and waits for one.
func Unary(ctx context.Context, conn *grpc.ClientConn, method, message string, options ...grpc.CallOption) Answer {
	var a Answer
	request, response := []byte(message), []byte{}
	a.Err = conn.Invoke(ctx, method, &request, &response,
		append(options, grpc.ForceCodec(Codec{}), grpc.Header(&a.Header), grpc.Trailer(&a.Trailer))...)
	a.Message = string(response)
	return a
}
