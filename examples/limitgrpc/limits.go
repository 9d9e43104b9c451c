package main

import (
	"context"
	"net/http"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/redstart-go/redstart/limit"
	"github.com/redstart-go/redstart/limit/httplimit"
)

// limits take a unit for each call and for each stream that is opened.
type limits struct {
	limiter *limit.Limiter
	key     httplimit.KeyFunc
}

func (l limits) unary(ctx context.Context, request any, _ *grpc.UnaryServerInfo, call grpc.UnaryHandler) (any, error) {
	if err := l.allow(ctx); err != nil {
		return nil, err
	}
	return call(ctx, request)
}

func (l limits) stream(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, call grpc.StreamHandler) error {
	if err := l.allow(s.Context()); err != nil {
		return err
	}
	return call(srv, s)
}

// allow gives nil, or the status with which the call is answered. It says
// nothing of the key.
func (l limits) allow(ctx context.Context) error {
	id, err := l.caller(ctx)
	if err != nil {
		return status.Error(codes.InvalidArgument, "the call does not say what is needed to find its quota")
	}
	d, err := l.limiter.Take(ctx, id, 1)
	switch {
	case err != nil && ctx.Err() != nil:
		return status.FromContextError(ctx.Err()).Err()
	case err != nil:
		return status.Error(codes.Unavailable, "quotas cannot be checked")
	case d.Allowed:
		return nil
	case d.Source == limit.SourceOutage:
		return refusal(codes.Unavailable, "quotas cannot be checked at present", d.RetryAfter, nil)
	}
	return refusal(codes.ResourceExhausted, "the quota is used up", d.RetryAfter, denied(d))
}

// caller is who calls. A call of gRPC is a request of HTTP/2, so its address and
// its metadata are what httplimit needs to look behind proxies.
func (l limits) caller(ctx context.Context) (string, error) {
	r := &http.Request{Header: http.Header{}}
	if p, ok := peer.FromContext(ctx); ok {
		r.RemoteAddr = p.Addr.String()
	}
	for _, line := range metadata.ValueFromIncomingContext(ctx, "x-forwarded-for") {
		r.Header.Add("X-Forwarded-For", line)
	}
	return l.key(r)
}

// denied names the limits that denied.
func denied(d limit.Decision) (names []string) {
	for _, s := range d.Each {
		if s.Denied && !s.Shadow {
			names = append(names, s.Policy)
		}
	}
	if names == nil {
		names = []string{d.Policy}
	}
	return names
}

// refusal is a status with when to try again and the limits that denied.
func refusal(code codes.Code, text string, after time.Duration, policies []string) error {
	s := status.New(code, text)
	quota := &errdetails.QuotaFailure{}
	for _, name := range policies {
		quota.Violations = append(quota.Violations, &errdetails.QuotaFailure_Violation{Subject: name, Description: text})
	}
	with, err := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(after)}, quota)
	if err != nil {
		return s.Err()
	}
	return with.Err()
}
