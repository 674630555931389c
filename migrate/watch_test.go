package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tokenmigrate/migrate/connect"
	"tokenmigrate/migrate/connect/sandbox"
	"tokenmigrate/migrate/report"
)

// until waits until holds, which is asked often.
func (w *network) until(what string, holds func() bool) {
	w.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			w.Fatalf("waited 30 s in vain until %s", what)
		}
		if err := sleep(w.Context(), time.Millisecond); err != nil {
			w.Fatal(err)
		}
	}
}

// Whenever somebody looks, what a run tells adds up and goes forward; at the end
// it is what the run's report says.
func TestWatch_TellsTheTruthAtAnyMoment(t *testing.T) {
	t.Parallel()
	const rows = 400
	w := newNetwork(t, rows, sandbox.Options{Latency: 5 * time.Millisecond, RefuseSubjects: []string{"7"}})
	w.o.Watch = new(Watch)
	w.o.ShowSubjects = true
	var mu sync.Mutex
	answers, carried := map[string]int64{}, 0
	w.o.Watch.OnCall(func(c Call) {
		mu.Lock()
		defer mu.Unlock()
		answers[c.Answer]++
		carried += c.Tokens
	})
	if n := w.o.Watch.Now(); n.Begun || n.Over || n.Ready() == nil || n.Report == nil {
		t.Errorf("before it begins: got %+v", n)
	}
	stop := make(chan struct{})
	var looking sync.WaitGroup
	looks, done, ready := 0, int64(0), 0
	looking.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			n := w.o.Watch.Now()
			c := n.Report.Counts
			if c.Read != c.Sum() || n.Ahead < 0 || n.Ahead > rows || n.Begun && n.Total < c.Read {
				t.Errorf("got counts %+v, %d ahead, %d in all", c, n.Ahead, n.Total)
			}
			if is := c.Read - c.Pending; is < done {
				t.Errorf("%d rows are done after %d", is, done)
			} else {
				done = is
			}
			if !slices.Contains(append(WaitCauses(), ""), n.Waiting) {
				t.Errorf("it waits for %q, which is none of WaitCauses", n.Waiting)
			}
			if n.Ready() == nil {
				ready++
				if !n.LeaseHeld || n.LeaseLeft <= 0 {
					t.Errorf("ready without a lease: %+v", n)
				}
			}
			if err := n.Report.WriteHTML(io.Discard, report.HTMLOptions{}); err != nil {
				t.Error(err)
			}
			looks++
		}
	})
	r, err := w.run(t.Context(), t.Context())
	close(stop)
	looking.Wait()
	if !errors.Is(err, ErrNotImported) {
		t.Fatalf("got %v, want ErrNotImported", err)
	}
	if looks < 10 || ready == 0 || done == 0 {
		t.Errorf("looked %d times, %d of these it was ready, at the last %d rows were done", looks, ready, done)
	}
	n := w.o.Watch.Now()
	if !n.Over || n.Ready() == nil || n.Report.Counts != r.Counts || n.Estimated || n.Total != rows || n.Ahead != 0 || n.OldestSent != 0 || n.LastSuccess.IsZero() {
		t.Errorf("at the end: got %+v with %+v, want it to be over with %+v", n, n.Report.Counts, r.Counts)
	}
	if len(r.Failures) != 1 || r.Failures[0].Subject != "7" || len(n.Report.Failures) != 1 || n.Report.Failures[0].Subject != "" {
		t.Errorf("failures: got %+v in the report and %+v in what is looked at, want a subject in the first alone", r.Failures, n.Report.Failures)
	}
	if answers["2xx"] != r.Calls.Made || len(answers) != 1 || int64(carried) != r.Calls.Tokens {
		t.Errorf("got %v with %d tokens, want %d calls with %d", answers, carried, r.Calls.Made, r.Calls.Tokens)
	}
}

// A database that is away is told, and also when it is back.
func TestWatch_TellsWhatIsAway(t *testing.T) {
	t.Parallel()
	w := newNetwork(t, 2000, sandbox.Options{Latency: 10 * time.Millisecond})
	w.o.Watch = new(Watch)
	ready := func() bool { n := w.o.Watch.Now(); return n.Ready() == nil }
	wait := w.start()
	w.until("it is ready", ready)
	for name, p := range map[string]*proxy{theSource: w.src, theCheckpoint: w.store} {
		p.turn(false)
		w.until("the "+name+" is away", func() bool {
			n := w.o.Watch.Now()
			err := n.Ready()
			return err != nil && strings.Contains(err.Error(), name+" is away")
		})
		p.turn(true)
		w.until("it is ready again, after the "+name, func() bool { n := w.o.Watch.Now(); return n.Over || n.Ready() == nil })
	}
	r, err := wait()
	w.wantOnce(r, err)
}

// How old the oldest row is that senders have, and what is read ahead of them.
func TestWatch_TellsHowFarTheReaderIsAhead(t *testing.T) {
	t.Parallel()
	w := newNetwork(t, 60, sandbox.Options{Latency: 10 * time.Millisecond})
	w.o.Watch = new(Watch)
	w.o.ChunkTokens, w.o.Concurrency = 10, 2
	wait := w.start()
	w.reached(1)
	w.answer.freeze(true)
	w.until("rows grow old in the senders' hands", func() bool {
		n := w.o.Watch.Now()
		return n.OldestSent > 200*time.Millisecond && n.OldestSent < 10*time.Second && n.Ahead >= 20 && n.Ahead <= 60
	})
	w.answer.freeze(false)
	if r, err := wait(); err != nil || r.Counts.Imported != 60 {
		t.Errorf("got %+v, %v", r.Counts, err)
	}
	if n := w.o.Watch.Now(); n.OldestSent != 0 || n.Ahead != 0 {
		t.Errorf("at the end: got %d rows ahead and one that is %s old, want none", n.Ahead, n.OldestSent)
	}
}

func TestRemaining_IsEstimatedUntilCounted(t *testing.T) {
	t.Parallel()
	var o Options
	p := testPass(&o, newMemory(), nil, 10)
	for _, c := range []struct {
		name   string
		change func()
		total  int64
		want   report.Remaining
	}{
		{"at first", func() { p.total.Store(100) }, 100, report.Remaining{Rows: 100, Estimated: true}},
		{"on the way", func() { p.rows.Store(40) }, 100, report.Remaining{Rows: 60, Estimated: true}},
		{"more than estimated", func() { p.rows.Store(130) }, 130, report.Remaining{Estimated: true}},
		{"the last page is read", func() { p.reachedEnd(7) }, 137, report.Remaining{Rows: 7}},
		{"and counted", func() { p.rows.Store(137) }, 137, report.Remaining{}},
		{"a second walk", func() { p.walkNo.Store(2); p.rows.Store(3) }, 137, report.Remaining{}},
	} {
		c.change()
		total, estimated := p.rowsInAll()
		if got := p.remaining(); total != c.total || got.Rows != c.want.Rows || estimated != (c.name != "a second walk" && c.want.Estimated) || got.Estimated != c.want.Estimated {
			t.Errorf("%s: got %d rows in all, %+v, want %d, %+v", c.name, total, got, c.total, c.want)
		}
	}
}

func TestAnswerLabel(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status string
		err    error
		want   string
	}{
		{"2xx", nil, "2xx"},
		{"429", &connect.StatusError{Status: 429}, "429"},
		{"418", &connect.StatusError{Status: 418}, "4xx"},
		{"307", &connect.StatusError{Status: 307}, "3xx"},
		{"599", &connect.StatusError{Status: 599}, "5xx"},
		{"not sent", &connect.NotSentError{}, "not_sent"},
		{"lost", &connect.LostError{What: "the call's time of 1s ended", Cause: context.DeadlineExceeded}, "timeout"},
		{"lost", &connect.LostError{What: "the call was cancelled", Cause: fmt.Errorf("so: %w", context.Canceled)}, "cancelled"},
		{"lost", &connect.LostError{What: "the answer, of status 200, is not readable"}, "unreadable"},
		{"lost", &connect.LostError{What: "the connection broke 17 bytes into the answer", Cause: io.ErrUnexpectedEOF}, "connection"},
	} {
		if got := answerLabel(c.status, c.err); got != c.want {
			t.Errorf("%s, %v: got %q, want %q", c.status, c.err, got, c.want)
		}
	}
}

func TestWaitCause(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]string{
		"": "", "pace": "pace", "throttled until 12:00:00": "throttled", "paused by an operator (`resume` lets it go on)": "paused",
		theSource: "source_database", theCheckpoint: "checkpoint_database", eitherOne: "database", "calls in doubt": "calls_in_doubt",
	} {
		if got := WaitCause(words); got != want || want != "" && !slices.Contains(WaitCauses(), got) {
			t.Errorf("%q: got %q, want %q, one of %v", words, got, want, WaitCauses())
		}
	}
}
