package main

import (
	"context"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/redstart-go/redstart/examples/internal/shop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A client that invents an address for every call has the five calls of one,
// streams among them.
func TestCalls(t *testing.T) {
	for name, url := range shop.Servers(t) {
		t.Run(name, func(t *testing.T) {
			conn, err := grpc.NewClient(shop.Start(t, serve, url), grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for i := range 8 {
				ctx := metadata.AppendToOutgoingContext(t.Context(), "x-forwarded-for", "6.6.6."+strconv.Itoa(i))
				var err error
				if i%2 == 0 {
					var got wrapperspb.StringValue
					if err = conn.Invoke(ctx, product, wrapperspb.String("lamp"), &got); err == nil && got.GetValue() != "a lamp" {
						t.Errorf("call %d: %q", i, got.GetValue())
					}
				} else {
					var events []string
					if events, err = watched(ctx, conn); err == nil && len(events) != 2 {
						t.Errorf("stream %d: %q", i, events)
					}
				}
				if i < 5 {
					if err != nil {
						t.Errorf("call %d: %v", i, err)
					}
					continue
				}
				exhausted(t, err)
			}
		})
	}
}

func watched(ctx context.Context, conn *grpc.ClientConn) (events []string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := conn.NewStream(ctx, &description.Streams[0], watch)
	if err != nil {
		return nil, err
	}
	if err := s.SendMsg(wrapperspb.String("lamp")); err != nil {
		return nil, err
	}
	if err := s.CloseSend(); err != nil {
		return nil, err
	}
	for range 2 {
		var event wrapperspb.StringValue
		if err := s.RecvMsg(&event); err != nil {
			return events, err
		}
		events = append(events, event.GetValue())
	}
	return events, nil
}

// exhausted: the status, when to try again, and the limit that denied.
func exhausted(t *testing.T, err error) {
	t.Helper()
	s, ok := status.FromError(err)
	if !ok || s.Code() != codes.ResourceExhausted || s.Message() != "the quota is used up" || len(s.Details()) != 2 {
		t.Fatalf("%v", err)
	}
	retry, _ := s.Details()[0].(*errdetails.RetryInfo)
	if after := retry.GetRetryDelay().AsDuration(); after <= 0 || after > 12*time.Minute {
		t.Errorf("try again in %v", after)
	}
	quota, _ := s.Details()[1].(*errdetails.QuotaFailure)
	if v := quota.GetViolations(); len(v) != 1 || v[0].GetSubject() != "hour" {
		t.Errorf("%v", v)
	}
}
