package entry

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/redstart-go/redstart"
	"github.com/redstart-go/redstart/internal/source"
	"github.com/redstart-go/redstart/redstarttest"
	"github.com/redstart-go/redstart/redstarttest/proxy"
)

// answered gives the error that a client has for an answer of a server.
func answered(t *testing.T, texts ...string) map[string]error {
	t.Helper()
	p, err := proxy.New(redstarttest.Run(t, redstarttest.ServerConfig{}).Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{p.Addr()}, DisableCache: true, DisableRetry: true, ForceSingleClient: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	errs := map[string]error{}
	for _, text := range texts {
		rule := p.AddRule(proxy.Rule{Match: proxy.Named("GET"), Action: proxy.AnswerError(text)})
		errs[text] = c.Do(t.Context(), c.B().Get().Key("k").Build()).Error()
		rule.Remove()
		if errs[text] == nil {
			t.Fatalf("no error for %s", text)
		}
	}
	return errs
}

func TestPauses(t *testing.T) {
	const moved = "MOVED 7 127.0.0.1:1"
	moving := []string{moved, "ASK 7 127.0.0.1:1", "TRYAGAIN Multiple keys request during rehashing of slot"}
	others := []string{"CLUSTERDOWN The cluster is down", "LOADING Redis is loading the dataset in memory", "WRONGTYPE no", "OOM no"}
	errs := answered(t, append(moving, others...)...)
	for _, text := range moving {
		wrapped := redstart.NewError("get", "k:<id>", "k:1", errs[text])
		p := Pauses{Within: time.Minute}
		if err := errs[text]; !Moving(err) || !Moving(wrapped) || !p.Again(t.Context(), &wrapped) {
			t.Errorf("no pause after %s", text)
		}
		if own := source.NewFailure(io.EOF); Moving(own) {
			t.Error("a failure of the source is taken for a slot's")
		}
	}
	for _, text := range others {
		err := errs[text]
		if p := (Pauses{Within: time.Minute}); p.Again(t.Context(), &err) || !errors.Is(err, errs[text]) {
			t.Errorf("a pause after %s", text)
		}
	}
	var none error
	if p := (Pauses{Within: time.Minute}); p.Again(t.Context(), &none) || none != nil {
		t.Error("a pause after no error")
	}

	// A caller without a deadline waits for Within in all, one with it until then.
	calls := 0
	call := func() error { calls++; return errs[moved] }
	began := time.Now()
	err := (&Pauses{Within: 100 * time.Millisecond}).Insist(t.Context(), call)
	if took := time.Since(began); !Moving(err) || took < 100*time.Millisecond || calls < 2 {
		t.Errorf("without a deadline: %v after %v and %d calls", err, took, calls)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := (&Pauses{}).Insist(ctx, call); !errors.Is(err, context.DeadlineExceeded) || Moving(err) {
		t.Errorf("at a deadline: %v", err)
	}
	calls = 0
	if err := (&Pauses{Within: time.Minute}).Insist(t.Context(), func() error {
		if calls++; calls < 5 {
			return errs[moved]
		}
		return io.EOF
	}); !errors.Is(err, io.EOF) || calls != 5 {
		t.Errorf("what it came to: %v after %d calls", err, calls)
	}
}
