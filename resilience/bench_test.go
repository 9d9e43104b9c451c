package resilience

import (
	"context"
	"testing"
	"time"
)

func nothing(context.Context) error { return nil }

func BenchmarkBreakerAllowRecord(b *testing.B) {
	br := must(NewBreaker(BreakerConfig{}))
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		t, err := br.Allow()
		if err != nil {
			b.Fatal(err)
		}
		br.Record(ctx, t, nil)
	}
}

func BenchmarkBreakerAllowRecordByRate(b *testing.B) {
	br := must(NewBreaker(BreakerConfig{Rate: 0.5}))
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		t, err := br.Allow()
		if err != nil {
			b.Fatal(err)
		}
		br.Record(ctx, t, nil)
	}
}

func BenchmarkBreakerDo(b *testing.B) {
	br := must(NewBreaker(BreakerConfig{}))
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		_ = br.Do(ctx, nothing)
	}
}

func BenchmarkBreakerParallelByRate(b *testing.B) {
	br := must(NewBreaker(BreakerConfig{Rate: 0.5}))
	ctx := b.Context()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			t, _ := br.Allow()
			br.Record(ctx, t, nil)
		}
	})
}

func BenchmarkBreakerRefusal(b *testing.B) {
	br := must(NewBreaker(BreakerConfig{Cooldown: time.Hour}))
	br.Trip(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := br.Allow(); err == nil {
			b.Fatal("let through")
		}
	}
}

func BenchmarkRetryDo(b *testing.B) {
	r := must(NewRetry(RetryConfig{}))
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		_ = r.Do(ctx, nothing)
	}
}

// BenchmarkHotPath is what a client adds to a command: a retry, its budget and
// a breaker, without closures.
func BenchmarkHotPath(b *testing.B) {
	br := must(NewBreaker(BreakerConfig{Rate: 0.5, Failures: 5}))
	r := must(NewRetry(RetryConfig{}))
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		for a := r.Begin(); ; {
			t, err := br.Allow()
			if err == nil {
				br.Record(ctx, t, nil)
				break
			}
			if !a.Again(ctx, err) {
				b.Fatal(a.Err(err))
			}
		}
	}
}

func BenchmarkBulkheadDo(b *testing.B) {
	bh := must(NewBulkhead(BulkheadConfig{Limit: 10}))
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		_ = bh.Do(ctx, nothing)
	}
}

func BenchmarkHedged(b *testing.B) {
	h := must(NewHedge(HedgeConfig{Delay: time.Second}))
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		_, _ = Hedged(ctx, h, func(context.Context) (int, error) { return 1, nil })
	}
}
