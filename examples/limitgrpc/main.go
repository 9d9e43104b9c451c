// Command limitgrpc is a shop over gRPC with limits by address, in interceptors
// on the limiter itself. A denied call gets RESOURCE_EXHAUSTED with RetryInfo,
// which clients know, and QuotaFailure, which names the limits. Try it:
//
//	go run ./examples/limitgrpc &
//	grpcurl -plaintext -d '"lamp"' 127.0.0.1:8080 shop.Catalog/Product
//
// (grpcurl wants a description of the service; the test is a client without.)
package main

import (
	"context"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/examples/internal/shop"
	"github.com/redstart-go/redstart/limit"
)

func main() { os.Exit(shop.Main(serve)) }

func serve(ctx context.Context, on net.Listener, client *redstart.Client) error {
	limiter, err := limit.New(client, limit.Config{
		Key:     "calls:{<address>}",
		Timeout: time.Second,
		Limits: []limit.Limit{
			{Name: "hour", Rate: 5, Per: time.Hour},
			{Name: "day", Rate: 1000, Per: 24 * time.Hour},
		},
	})
	if err != nil {
		return err
	}
	key, err := shop.Key()
	if err != nil {
		return err
	}
	l := limits{limiter, key}
	s := grpc.NewServer(grpc.UnaryInterceptor(l.unary), grpc.StreamInterceptor(l.stream))
	s.RegisterService(&description, shelf{})
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(on) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		s.GracefulStop()
		return <-ended
	}
}

// catalog is the service. Its messages are ready-made ones and its description
// is written by hand, so that the example needs no generated code.
type catalog interface {
	Product(ctx context.Context, name *wrapperspb.StringValue) (*wrapperspb.StringValue, error)
	Watch(name *wrapperspb.StringValue, to grpc.ServerStream) error
}

type shelf struct{}

func (shelf) Product(_ context.Context, name *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	if name.GetValue() == "" {
		return nil, status.Error(codes.InvalidArgument, "which one?")
	}
	return wrapperspb.String("a " + name.GetValue()), nil
}

func (shelf) Watch(name *wrapperspb.StringValue, to grpc.ServerStream) error {
	for _, event := range []string{"seen", "sold"} {
		if err := to.SendMsg(wrapperspb.String(name.GetValue() + " " + event)); err != nil {
			return err
		}
	}
	return nil
}

const (
	service = "shop.Catalog"
	product = "/" + service + "/Product"
	watch   = "/" + service + "/Watch"
)

var description = grpc.ServiceDesc{
	ServiceName: service,
	HandlerType: (*catalog)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Product", Handler: func(
		srv any, ctx context.Context, decode func(any) error, around grpc.UnaryServerInterceptor,
	) (any, error) {
		var name wrapperspb.StringValue
		if err := decode(&name); err != nil {
			return nil, err
		}
		call := func(ctx context.Context, name any) (any, error) {
			return srv.(catalog).Product(ctx, name.(*wrapperspb.StringValue))
		}
		if around == nil {
			return call(ctx, &name)
		}
		return around(ctx, &name, &grpc.UnaryServerInfo{Server: srv, FullMethod: product}, call)
	}}},
	Streams: []grpc.StreamDesc{{StreamName: "Watch", ServerStreams: true, Handler: func(srv any, s grpc.ServerStream) error {
		var name wrapperspb.StringValue
		if err := s.RecvMsg(&name); err != nil {
			return err
		}
		return srv.(catalog).Watch(&name, s)
	}}},
}
