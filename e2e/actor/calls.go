package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/migration-proxy/migration-proxy/e2e/grpcside"
	"github.com/migration-proxy/migration-proxy/e2e/wire"
	"github.com/migration-proxy/migration-proxy/internal/pause"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// callKinds are the calls of gRPC that a load makes in turn. Each gives the side that
// answered, and an error unless everything arrived: messages, metadata, trailers, status.
var callKinds = []struct {
	name   string
	status codes.Code // that it ends with
	make   func(ctx context.Context, conn *grpc.ClientConn) (side string, err error)
}{
	{"unary", codes.OK, callUnary},
	{"unary with another status", calledStatus, callForStatus},
	{"stream", codes.OK, callStream},
}

const (
	sentMetadata = "\x00\xff bytes"
	calledStatus = codes.FailedPrecondition
	// A stream has messages both ways, over about a second: longer than a switch takes.
	streamMessages = 10
	streamPause    = 100 * time.Millisecond
)

// makeCalls makes the calls of a load until its context ends, over its connections. Each
// connection makes the next call when the last one has ended.
func makeCalls(ctx context.Context, target string, asked wire.Load, each func(testbed.Answer)) error {
	var clients sync.WaitGroup
	var made atomic.Int64
	begun := time.Now()
	for range max(asked.Connections, 1) {
		conn, err := dialForCalls(target, asked)
		if err != nil {
			return err
		}
		clients.Go(func() {
			defer func() { _ = conn.Close() }()
			for {
				number := int(made.Add(1))
				if asked.Requests > 0 && number > asked.Requests || !waitForCall(ctx, begun, asked.Rate, number) {
					return
				}
				each(oneCall(ctx, conn, number))
			}
		})
	}
	clients.Wait()
	return nil
}

func waitForCall(ctx context.Context, begun time.Time, rate float64, number int) bool {
	if rate == 0 {
		return ctx.Err() == nil
	}
	return pause.For(ctx, time.Until(begun.Add(time.Duration(float64(number-1)/rate*float64(time.Second)))))
}

// dialForCalls makes a connection that repeats no call. It uses HTTP/2 by ALPN, or with
// prior knowledge.
func dialForCalls(target string, asked wire.Load) (*grpc.ClientConn, error) {
	secure := insecure.NewCredentials()
	if asked.TLS {
		secure = credentials.NewTLS(&tls.Config{InsecureSkipVerify: true, ServerName: asked.Host}) // the controller's own certificate
	}
	return grpc.NewClient("passthrough:///"+target, grpc.WithTransportCredentials(secure), grpc.WithAuthority(asked.Host), grpc.WithDisableRetry())
}

// oneCall makes a call that ends although the load ends meanwhile: an ended load is no
// reason for a failure.
func oneCall(ctx context.Context, conn *grpc.ClientConn, number int) testbed.Answer {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	kind := callKinds[number%len(callKinds)]
	side, err := kind.make(metadata.AppendToOutgoingContext(ctx, "meta-bin", sentMetadata), conn)
	if err != nil {
		return testbed.Answer{Err: fmt.Errorf("call %d, %s, answered by %q: %w", number, kind.name, side, err)}
	}
	return testbed.Answer{Backend: side, Status: int(kind.status)}
}

func callUnary(ctx context.Context, conn *grpc.ClientConn) (string, error) {
	got := grpcside.Unary(ctx, conn, grpcside.Echo, "message")
	if got.Err == nil && got.Message != "message" {
		got.Err = fmt.Errorf("message %q", got.Message)
	}
	return got.Side(), errors.Join(got.Err, intact(got.Trailer))
}

func callForStatus(ctx context.Context, conn *grpc.ClientConn) (string, error) {
	got := grpcside.Unary(ctx, conn, grpcside.StatusMethod(calledStatus), "message")
	if now := grpcstatus.Convert(got.Err); now.Code() != calledStatus || now.Message() != grpcside.Message {
		return got.Side(), fmt.Errorf("status %s: %s", now.Code(), now.Message())
	}
	return got.Side(), intact(got.Trailer)
}

func callStream(ctx context.Context, conn *grpc.ClientConn) (string, error) {
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, grpcside.Echo, grpc.ForceCodec(grpcside.Codec{}))
	if err != nil {
		return "", err
	}
	for i := range streamMessages {
		sent, got := []byte(fmt.Sprint("message ", i)), []byte{}
		if err := errors.Join(stream.SendMsg(&sent), stream.RecvMsg(&got)); err != nil {
			return "", fmt.Errorf("message %d: %w", i, err)
		}
		if string(got) != string(sent) {
			return "", fmt.Errorf("message %d is %q", i, got)
		}
		_ = pause.For(ctx, streamPause)
	}
	header, err := stream.Header()
	if err := errors.Join(err, stream.CloseSend()); err != nil {
		return "", err
	}
	side := grpcside.Answer{Header: header}.Side()
	if err := stream.RecvMsg(&[]byte{}); !errors.Is(err, io.EOF) {
		return side, fmt.Errorf("the end: %w", err)
	}
	return side, intact(stream.Trailer())
}

func intact(trailer metadata.MD) error {
	if got := trailer.Get("echo-bin"); len(got) != 1 || got[0] != sentMetadata {
		return fmt.Errorf("trailer %q", trailer)
	}
	return nil
}
