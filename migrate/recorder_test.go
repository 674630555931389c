package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/report"
)

// ledgerWriter is a checkpoint in memory that keeps what it is given.
type ledgerWriter struct {
	mu      sync.Mutex
	batches []checkpoint.Batch
	record  func(ctx context.Context, n int, b checkpoint.Batch) (checkpoint.Recorded, error) // nil: all goes well; n from 1
}

func (w *ledgerWriter) Record(ctx context.Context, _ checkpoint.Lease, _ int64, b checkpoint.Batch) (checkpoint.Recorded, error) {
	w.mu.Lock()
	w.batches = append(w.batches, b)
	n, record := len(w.batches), w.record
	w.mu.Unlock()
	if record == nil {
		return checkpoint.Recorded{}, nil
	}
	return record(ctx, n, b)
}

// written returns how many transactions there were, once nothing moves.
func (w *ledgerWriter) written() int {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.batches)
}

// serving is a recorder whose goroutine runs, until close or the test's end.
func serving(t *testing.T, w *ledgerWriter) (r *recorder, cut func(), over chan error) {
	p, _ := testPatience(5 * time.Minute)
	l := new(ledger)
	r = newRecorder(w, checkpoint.Lease{}, 7, l, l.counts, func() string { return "pace" }, p, zerolog.Nop())
	ctx, cancel := context.WithCancel(t.Context())
	over = make(chan error, 1)
	go func() { over <- r.serve(ctx) }()
	return r, cancel, over
}

func intentEntry() *entry {
	return &entry{intent: &checkpoint.Intent{ID: uuid.New(), Connector: slack}}
}

func answerEntry(moves ...move) *entry {
	return &entry{answer: &checkpoint.Answer{Call: uuid.New()}, moves: moves}
}

func counted(l *ledger) report.Counts {
	tally, _ := l.current()
	return tally.Counts()
}

func TestRecorder_GroupsWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &ledgerWriter{record: func(context.Context, int, checkpoint.Batch) (checkpoint.Recorded, error) {
			time.Sleep(100 * time.Millisecond)
			return checkpoint.Recorded{}, nil
		}}
		r, _, over := serving(t, w)
		const entries = 1 + 2*maxEntries + 5
		var waiting sync.WaitGroup
		commit := func(e *entry) {
			waiting.Go(func() {
				if err := r.commit(e); err != nil {
					t.Errorf("commit: %v", err)
				}
			})
		}
		commit(intentEntry())
		synctest.Wait() // it is under way
		for n := range entries - 1 {
			if n%2 == 0 {
				commit(intentEntry())
			} else {
				commit(answerEntry(enter(slackProd, checkpoint.Imported, "")))
			}
		}
		waiting.Wait()
		close(r.in)
		if err := <-over; err != nil {
			t.Fatalf("serve: %v", err)
		}
		total, sizes := 0, []int{}
		for _, b := range w.batches {
			n := len(b.Intents) + len(b.Answers)
			total += n
			sizes = append(sizes, n)
			if n > maxEntries {
				t.Errorf("got %d entries in one transaction, want at most %d", n, maxEntries)
			}
		}
		if total != entries || len(w.batches) > 6 {
			t.Errorf("got %d entries in transactions of %v, want all %d, each once, in few", total, sizes, entries)
		}
		if got := counted(r.ledger); got.Imported != (entries-1)/2 {
			t.Errorf("got %d counted as imported, want %d", got.Imported, (entries-1)/2)
		}
		if b := w.batches[0]; len(b.Intents) != 1 || b.Counts != nil {
			t.Errorf("got counts %q beside an intent that counts nothing", b.Counts)
		}
		if b := w.batches[len(w.batches)-1]; b.Waiting != "pace" || len(b.Counts) == 0 {
			t.Errorf("got waiting %q and counts %q, want both written", b.Waiting, b.Counts)
		}
	})
}

func TestRecorder_TriesAgainWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		w := &ledgerWriter{record: func(context.Context, int, checkpoint.Batch) (checkpoint.Recorded, error) {
			if time.Since(start) < time.Minute {
				return checkpoint.Recorded{}, again
			}
			return checkpoint.Recorded{}, nil
		}}
		r, _, over := serving(t, w)
		e := answerEntry(enter(slackProd, checkpoint.Imported, ""))
		if err := r.commit(e); err != nil {
			t.Errorf("got error %v, want the outcome recorded once the database is back", err)
		}
		if took := time.Since(start); took < time.Minute {
			t.Errorf("told as committed after %v, while the database was away", took)
		}
		for i, b := range w.batches {
			if len(b.Answers) != 1 || b.Answers[0].Call != e.answer.Call {
				t.Errorf("try %d holds %d answers, want the same one each time", i+1, len(b.Answers))
			}
		}
		if got := counted(r.ledger); got.Imported != 1 {
			t.Errorf("got %d counted, want it counted once for %d tries", got.Imported, len(w.batches))
		}
		close(r.in)
		if err := <-over; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
}

func TestRecorder_TakesCountsBackWhenItFails(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]error{"for good": stopped, "for too long": again} {
		synctest.Test(t, func(t *testing.T) {
			w := &ledgerWriter{record: func(context.Context, int, checkpoint.Batch) (checkpoint.Recorded, error) {
				return checkpoint.Recorded{}, fails
			}}
			r, _, over := serving(t, w)
			r.ledger.apply([]move{enter(slackProd, pending, "")}, false)
			err := r.commit(answerEntry(move{slackProd, standing{outcome: pending}, standing{checkpoint.Imported, ""}, 1}))
			if !errors.Is(err, fails) {
				t.Errorf("%s: commit: got error %v, want %v", name, err, fails)
			}
			if got, want := counted(r.ledger), (report.Counts{Read: 1, Pending: 1}); got != want {
				t.Errorf("%s: got %+v, want %+v: what is not recorded is not imported", name, got, want)
			}
			ended := <-over
			if !errors.Is(ended, fails) {
				t.Errorf("%s: serve: got error %v, want %v", name, ended, fails)
			}
			if err := r.commit(intentEntry()); !errors.Is(err, fails) {
				t.Errorf("%s: an intent after the end: got error %v, want %v", name, err, fails)
			}
		})
	}
}

func TestRecorder_TellsWhatDidNotTakeEffect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start, release := make(chan struct{}), make(chan struct{})
		settled, kept := answerEntry(move{slackProd, standing{outcome: pending}, standing{checkpoint.Imported, ""}, 1}), answerEntry(move{slackProd, standing{outcome: pending}, standing{checkpoint.Failed, "refused"}, 1})
		w := &ledgerWriter{record: func(_ context.Context, n int, b checkpoint.Batch) (checkpoint.Recorded, error) {
			switch n {
			case 1: // holds the door until the others wait
				close(start)
				<-release
				return checkpoint.Recorded{}, nil
			case 2:
				return checkpoint.Recorded{LeaseLost: true, Settled: []uuid.UUID{settled.answer.Call}}, nil
			}
			return checkpoint.Recorded{}, nil
		}}
		r, _, over := serving(t, w)
		r.ledger.apply([]move{enter(slackProd, pending, ""), enter(slackProd, pending, "")}, false)
		if err := r.submit(intentEntry()); err != nil {
			t.Fatal(err)
		}
		<-start
		want := map[*entry]error{
			settled: errSettled, kept: nil, intentEntry(): checkpoint.ErrLeaseLost,
			{locals: []checkpoint.Local{{Key: "k"}}}: checkpoint.ErrLeaseLost,
			{}:                                       nil, // only counts
		}
		var waiting sync.WaitGroup
		for e, want := range want {
			waiting.Go(func() {
				if err := r.commit(e); !errors.Is(err, want) || want == nil && err != nil {
					t.Errorf("entry %+v: got error %v, want %v", *e, err, want)
				}
			})
		}
		synctest.Wait()
		close(release)
		waiting.Wait()
		if got, want := counted(r.ledger), (report.Counts{Read: 2, Failed: 1, Unknown: 1}); got != want {
			t.Errorf("got %+v, want %+v: what another worker settled is unknown", got, want)
		}
		if got := settled.moves[0].to; got != (standing{checkpoint.Unknown, reasonInDoubt}) {
			t.Errorf("the settled token stands as %+v, want it in doubt", got)
		}
		close(r.in)
		if err := <-over; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
}

func TestRecorder_WritesCountsSoonAndAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &ledgerWriter{}
		r, _, over := serving(t, w)
		onlyCounts := func() {
			if err := r.commit(&entry{moves: []move{enter(slackProd, unchanged, "")}}); err != nil {
				t.Fatal(err)
			}
		}
		onlyCounts()
		if w.written() != 0 {
			t.Errorf("got %d transactions for a page of unchanged rows, want none of its own", w.written())
		}
		time.Sleep(countsEvery + time.Millisecond)
		if w.written() != 1 {
			t.Fatalf("got %d transactions after %v, want the counts written", w.written(), countsEvery)
		}
		time.Sleep(2 * countsEvery)
		if w.written() != 1 {
			t.Errorf("got %d transactions without news, want no more", w.written())
		}
		time.Sleep(heartbeatTicks * countsEvery)
		if w.written() != 2 {
			t.Errorf("got %d transactions, want a heartbeat", w.written())
		}
		onlyCounts()
		close(r.in)
		if err := <-over; err != nil {
			t.Errorf("serve: %v", err)
		}
		want, _ := json.Marshal(r.kept())
		if got := w.batches[w.written()-1].Counts; string(got) != string(want) {
			t.Errorf("got %s written last, want %s", got, want)
		}
	})
}

func TestRecorder_NobodyBlocksWhenItIsCutShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &ledgerWriter{record: func(ctx context.Context, _ int, _ checkpoint.Batch) (checkpoint.Recorded, error) {
			<-ctx.Done() // a database that hangs
			return checkpoint.Recorded{}, fmt.Errorf("record: %w", ctx.Err())
		}}
		r, cut, over := serving(t, w)
		results := make(chan error, 200)
		for n := range cap(results) {
			go func() {
				if n%2 == 0 {
					results <- r.commit(intentEntry())
				} else {
					results <- r.commit(answerEntry(enter(slackProd, checkpoint.Imported, "")))
				}
			}()
		}
		synctest.Wait()
		cut()
		for range cap(results) {
			if err := <-results; !errors.Is(err, context.Canceled) {
				t.Fatalf("got error %v, want %v", err, context.Canceled)
			}
		}
		if err := <-over; !errors.Is(err, context.Canceled) {
			t.Errorf("serve: got error %v, want %v", err, context.Canceled)
		}
		if got := counted(r.ledger); got != (report.Counts{}) {
			t.Errorf("got %+v, want nothing counted", got)
		}
	})
}

func TestRecorder_WritesCountsOfWhatCameLast(t *testing.T) {
	t.Parallel()
	p, _ := testPatience(0)
	w := &ledgerWriter{}
	l := new(ledger)
	r := newRecorder(w, checkpoint.Lease{}, 7, l, l.counts, func() string { return "" }, p, zerolog.Nop())
	r.in = make(chan *entry, 2) // with room: all is there, and closed, before anything is taken
	for range cap(r.in) {
		if err := r.submit(&entry{moves: []move{enter(slackProd, unchanged, "")}}); err != nil {
			t.Fatal(err)
		}
	}
	close(r.in)
	if err := r.serve(t.Context()); err != nil {
		t.Fatal(err)
	}
	want, _ := json.Marshal(l.counts())
	if n := len(w.batches); n != 1 || string(w.batches[0].Counts) != string(want) {
		t.Errorf("got %d transactions, want one with %s", n, want)
	}
}

// What is remembered of pages goes along with whatever is written next, and is not
// worth a second try.
func TestRecorder_RemembersPagesInPassing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &ledgerWriter{record: func(_ context.Context, n int, _ checkpoint.Batch) (checkpoint.Recorded, error) {
			if n == 2 {
				return checkpoint.Recorded{}, again
			}
			return checkpoint.Recorded{}, nil
		}}
		r, _, over := serving(t, w)
		page := func(number int) {
			if err := r.commit(&entry{page: &checkpoint.Page{Number: number}, moves: []move{enter(slackProd, unchanged, "")}}); err != nil {
				t.Fatal(err)
			}
		}
		page(1)
		page(2)
		if w.written() != 0 {
			t.Errorf("got %d transactions for pages, want none of their own", w.written())
		}
		for range 3 { // the second is tried twice
			if err := r.commit(intentEntry()); err != nil {
				t.Fatal(err)
			}
			page(3)
		}
		close(r.in)
		if err := <-over; err != nil {
			t.Errorf("serve: %v", err)
		}
		want := [][]int{{1, 2}, {3}, nil, {3}, {3}} // the last as it ends
		for i, b := range w.batches {
			var got []int
			for _, p := range b.Pages {
				got = append(got, p.Number)
			}
			if i >= len(want) || !slices.Equal(got, want[i]) {
				t.Errorf("transaction %d: got the pages %v", i+1, got)
			}
		}
		if len(w.batches) != len(want) {
			t.Errorf("got %d transactions, want %d", len(w.batches), len(want))
		}
	})
}
