package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/report"
)

// writer is the checkpoint's one way to write outcomes.
type writer interface {
	Record(ctx context.Context, l checkpoint.Lease, run int64, b checkpoint.Batch) (checkpoint.Recorded, error)
}

// errSettled: another worker has settled a call before its answer was recorded.
var errSettled = errors.New("the call was settled by another worker before its answer was recorded")

// claimedError tells that an intent was not written: other shards have sent, or are
// about to send, other keys for the identities of these.
type claimedError struct{ keys []string }

func (e *claimedError) Error() string {
	return fmt.Sprintf("another shard sends %d of the tokens' identities", len(e.keys))
}

// recorder writes intents, outcomes and counts. It is one goroutine: whatever
// waits while a transaction is under way goes into the next one together, so
// that recording keeps up with any number of senders, and the counts have one
// writer. While the database is away it keeps what it was given and tries again;
// nobody gets an intent meanwhile, so no call is made that could not be recorded.
type recorder struct {
	store   writer
	lease   checkpoint.Lease
	run     int64
	ledger  *ledger
	kept    func() report.RunCounts // what is written of the run as it is now
	waiting func() string
	wait    *patience
	log     zerolog.Logger

	dirty bool              // counts have changed since they were written; the goroutine's
	pages []checkpoint.Page // not written yet; likewise
	lost  atomic.Bool       // another worker has the shard, and something was not written
	in    chan *entry
	ended chan struct{} // closed when the goroutine is over
	err   error         // why it ended; read after ended
}

// entry is one thing to record, with how it changes the counts.
type entry struct {
	intent *checkpoint.Intent
	answer *checkpoint.Answer
	locals []checkpoint.Local
	page   *checkpoint.Page // written at some time, or never
	moves  moves
	done   chan error // gets the result; has room for one
}

// countsEvery is how often counts are written that no transaction carried along.
const countsEvery = time.Second

// heartbeatTicks is after how many ticks the run's row is written in any case.
const heartbeatTicks = 5

// maxEntries bounds one transaction.
const maxEntries = 64

func newRecorder(store writer, lease checkpoint.Lease, run int64, l *ledger, kept func() report.RunCounts, waiting func() string, wait *patience, log zerolog.Logger) *recorder {
	return &recorder{
		store: store, lease: lease, run: run, ledger: l, kept: kept, waiting: waiting, wait: wait, log: log,
		in: make(chan *entry), ended: make(chan struct{}),
	}
}

// submit hands an entry over without waiting for its transaction. It fails only
// when the recorder is over, and must not be called once in is closed.
func (r *recorder) submit(e *entry) error {
	if e.done == nil {
		e.done = make(chan error, 1)
	}
	select {
	case r.in <- e:
		return nil
	case <-r.ended:
		return r.err
	}
}

// commit hands an entry over and waits until it is committed.
//
// Errors: errSettled; *claimedError; checkpoint.ErrLeaseLost; the error that ended
// the recorder.
func (r *recorder) commit(e *entry) error {
	if err := r.submit(e); err != nil {
		return err
	}
	return <-e.done
}

// flush waits until everything that was handed over before is counted.
//
// Errors: checkpoint.ErrLeaseLost where some of it was not written for that; the
// error that ended the recorder.
func (r *recorder) flush() error {
	if err := r.commit(&entry{}); err != nil {
		return err
	}
	if r.lost.Load() {
		return checkpoint.ErrLeaseLost
	}
	return nil
}

// serve writes until in is closed, and then what was left of the counts. ctx
// cuts it short.
func (r *recorder) serve(ctx context.Context) (err error) {
	defer func() {
		if r.err = err; err == nil {
			r.err = errors.New("recording is over")
		}
		close(r.ended)
	}()
	tick := time.NewTicker(countsEvery)
	defer tick.Stop()
	quiet := 0
	for {
		select {
		case e, ok := <-r.in:
			if !ok {
				return r.write(ctx, nil)
			}
			entries, open := r.gather(e)
			if err := r.take(ctx, entries); err != nil {
				return err
			}
			if !open {
				return r.write(ctx, nil)
			}
		case <-tick.C:
			// Also without news now and then: the heartbeat stands in the same row.
			if quiet++; !r.dirty && quiet < heartbeatTicks {
				continue
			}
			quiet = 0
			if err := r.write(ctx, nil); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// gather adds what else is waiting; it reports false when in was closed. It lets
// others have the processor once, since who is about to hand something over would
// else come too late for this transaction.
func (r *recorder) gather(first *entry) ([]*entry, bool) {
	entries := []*entry{first}
	for yielded := false; len(entries) < maxEntries; {
		select {
		case e, ok := <-r.in:
			if !ok {
				return entries, false
			}
			entries = append(entries, e)
		default:
			if yielded {
				return entries, true
			}
			yielded = true
			runtime.Gosched()
		}
	}
	return entries, true
}

// take counts the entries and writes them. Entries that only count (a page of
// unchanged rows) are left to the next transaction that writes counts, or tick.
func (r *recorder) take(ctx context.Context, entries []*entry) error {
	writes := false
	for _, e := range entries {
		r.ledger.apply(e.moves, false)
		r.dirty = r.dirty || len(e.moves) > 0
		if e.page != nil {
			r.pages = append(r.pages, *e.page)
		}
		writes = writes || e.intent != nil || e.answer != nil || len(e.locals) > 0
	}
	if !writes {
		for _, e := range entries {
			e.done <- nil
		}
		return nil
	}
	return r.write(ctx, entries)
}

// write runs one transaction, again and again while the database is away. Intents
// count nothing: with these alone the run's row is left as it is. Without entries it
// is written in any case.
func (r *recorder) write(ctx context.Context, entries []*entry) error {
	b := checkpoint.Batch{Pages: r.pages}
	r.pages = nil
	for _, e := range entries {
		if e.intent != nil {
			b.Intents = append(b.Intents, *e.intent)
		}
		if e.answer != nil {
			b.Answers = append(b.Answers, *e.answer)
		}
		b.Locals = append(b.Locals, e.locals...)
	}
	var out checkpoint.Recorded
	var err error
	if r.dirty || entries == nil {
		b.Waiting = r.waiting()
		b.Counts, err = json.Marshal(r.kept())
	}
	if err == nil {
		err = r.wait.database(ctx, theCheckpoint, func() (err error) {
			out, err = r.store.Record(ctx, r.lease, r.run, b)
			b.Pages = nil // what is only remembered is not worth another try
			return err
		})
	}
	r.dirty = r.dirty && b.Counts == nil
	for _, e := range entries {
		e.done <- r.result(e, out, err)
	}
	return err
}

// result tells one entry how the transaction went, and takes its moves back
// where they did not come true.
func (r *recorder) result(e *entry, out checkpoint.Recorded, err error) error {
	switch {
	case err != nil:
		r.ledger.apply(e.moves, true)
		return err
	case out.LeaseLost && (e.intent != nil || len(e.locals) > 0):
		r.lost.Store(true)
		r.ledger.apply(e.moves, true)
		return checkpoint.ErrLeaseLost
	case e.intent != nil && len(out.Claimed[e.intent.ID]) > 0:
		return &claimedError{out.Claimed[e.intent.ID]}
	case e.answer == nil:
		return nil
	}
	for _, id := range out.Settled {
		if id == e.answer.Call {
			// It counts as in doubt, which is what the other worker made of it.
			r.ledger.apply(e.moves, true)
			for i := range e.moves {
				e.moves[i].to = standing{checkpoint.Unknown, reasonInDoubt}
			}
			r.ledger.apply(e.moves, false)
			return errSettled
		}
	}
	return nil
}
