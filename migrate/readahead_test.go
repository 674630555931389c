package migrate

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"tokenmigrate/checkpoint"
	"tokenmigrate/source"
)

// numbered is a source of pages of one row each, whose key is the number of the read.
type numbered struct {
	walker
	pages   int           // the read of this number is the end
	failing []int         // reads that fail
	stuck   int           // a read that hangs until it is cancelled; 0: none
	failure error         // theirs; nil: stopped
	late    time.Duration // of each read, before it begins
	takes   time.Duration // of each read
	reads   atomic.Int64  // so far
	ended   atomic.Int64  // of these, those that are over
}

func (c *numbered) Page(ctx context.Context, after source.Cursor) (source.Page, error) {
	n := int(c.reads.Add(1))
	defer c.ended.Add(1)
	time.Sleep(c.late)
	at := time.Now()
	time.Sleep(c.takes)
	if n == c.stuck {
		<-ctx.Done()
		return source.Page{}, ctx.Err()
	}
	if slices.Contains(c.failing, n) {
		return source.Page{Next: after}, cmp.Or(c.failure, error(stopped))
	}
	key := strconv.Itoa(n)
	return source.Page{Rows: []source.Row{userRow(key, "u"+key)}, End: n == c.pages, ReadAt: at}, nil
}

// reading is a readAhead in a bubble of its own.
type reading struct {
	*testing.T
	*readAhead
	ctx context.Context
}

func readingAhead(t *testing.T, c *numbered, do func(r *reading)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := testPass(&Options{}, newMemory(), nil, 1)
		p.src, p.now = c, time.Now
		ctx, cancel := context.WithCancel(t.Context())
		a := &readAhead{pass: p}
		defer a.wait()
		defer cancel()
		do(&reading{t, a, ctx})
	})
}

// hasRead fails unless so many pages were read, once nothing moves.
func (r *reading) hasRead(c *numbered, want int) {
	r.Helper()
	if synctest.Wait(); int(c.reads.Load()) != want {
		r.Errorf("got %d pages read, want %d", int(c.reads.Load()), want)
	}
}

// page takes the next page, which must have this key.
func (r *reading) page(key string) source.Page {
	r.Helper()
	page, err := r.next(r.ctx)
	if err != nil || page.Rows[0].Key != key {
		r.Fatalf("got %v and error %v, want the row %s", page.Rows, err, key)
	}
	return page
}

// A page is read ahead as long as pages go through within aheadWithin, and only then,
// and is good for aheadGood.
func TestReadAhead_OnlyWherePagesGoThroughQuickly(t *testing.T) {
	t.Parallel()
	c := &numbered{pages: 18}
	readingAhead(t, c, func(r *reading) {
		for _, step := range []struct {
			key   string
			work  time.Duration // on the page
			reads int           // when it was
		}{
			{"1", 0, 1}, // nothing is known of the pace yet
			{"2", aheadWithin / 2, 4},
			{"3", aheadWithin, 5},
			{"4", time.Minute, 5}, // the one before was at work for too long; this one was there already
			{"6", 0, 6},           // the fifth has waited for too long
			{"7", aheadGood - 1, 9},
			{"8", 0, 9},
			{"9", 0, 11}, // is young enough
			{"10", aheadGood, 12},
			{"13", 0, 13}, // the eleventh and twelfth are not
			{"14", 0, 16},
			{"15", 0, 17},
			{"16", 0, 18},
			{"17", 0, 18},
			{"18", 0, 18}, // the end
		} {
			page := r.page(step.key)
			if page.End != (step.key == "18") {
				t.Errorf("page %s: got end %t", step.key, page.End)
			}
			time.Sleep(step.work)
			synctest.Wait()
			if int(c.reads.Load()) != step.reads {
				t.Errorf("behind page %s: got %d pages read, want %d", step.key, int(c.reads.Load()), step.reads)
			}
		}
	})
}

// How long reading takes does not count as work on a page, and a page that is still
// being read is waited for.
func TestReadAhead_OfASlowSource(t *testing.T) {
	t.Parallel()
	c := &numbered{pages: 9, takes: time.Minute}
	readingAhead(t, c, func(r *reading) {
		r.page("1")
		r.page("2")
		r.hasRead(c, 3) // the third is under way
		r.page("3")
	})
}

// The age of a page is that of its rows.
func TestReadAhead_OfASourceThatIsBusy(t *testing.T) {
	t.Parallel()
	readingAhead(t, &numbered{pages: 9, late: 10 * time.Second}, func(r *reading) {
		r.page("1")
		r.page("2")
		time.Sleep(aheadGood + 5*time.Second)
		r.page("3")
	})
}

// Behind the end there is nothing to read.
func TestReadAhead_EndsWithTheSource(t *testing.T) {
	t.Parallel()
	c := &numbered{pages: 2}
	readingAhead(t, c, func(r *reading) {
		r.page("1")
		r.page("2")
		r.hasRead(c, 2)
	})
}

// Nobody waits for a source that is away while a page is at work; whoever needs the
// next one does.
func TestReadAhead_WaitsForASourceThatIsAwayOnlyWhenItIsNeeded(t *testing.T) {
	t.Parallel()
	c := &numbered{pages: 9, failing: []int{3, 4}, failure: again}
	readingAhead(t, c, func(r *reading) {
		waited := waits{}
		r.pass.wait.waited, r.pass.wait.limit = waited.add, time.Minute
		r.page("1")
		r.page("2")
		time.Sleep(time.Hour)
		synctest.Wait()
		if what := r.pass.wait.what(); what != "" || int(c.reads.Load()) != 3 {
			t.Errorf("at work on a page: got %d reads and a run that waits for %q, want 3, and nothing", int(c.reads.Load()), what)
		}
		r.page("5")
		if len(waited) != 1 || waited[theSource] <= 0 || waited[theSource] > 60 {
			t.Errorf("got the waits %v, want one for the source, of the second time alone", waited)
		}
	})
}

// A page that could not be read while the one before it was at work is read again when
// it is needed: the source may have been away hours ago. That error counts.
func TestReadAhead_FailsInItsTurn(t *testing.T) {
	t.Parallel()
	waitedFor := &numbered{pages: 9, failing: []int{3}, takes: time.Minute}
	readingAhead(t, waitedFor, func(r *reading) {
		r.page("1")
		r.page("2")
		r.page("4")
	})
	readingAhead(t, &numbered{pages: 9, failing: []int{3}}, func(r *reading) {
		r.page("1")
		r.page("2")
		synctest.Wait()
		r.page("4")
	})
	readingAhead(t, &numbered{pages: 9, failing: []int{3, 4}}, func(r *reading) {
		r.page("1")
		r.page("2")
		synctest.Wait()
		if _, err := r.next(r.ctx); !errors.Is(err, stopped) {
			t.Errorf("got error %v, want %v", err, stopped)
		}
	})
}

// A walk that ends early, here at its limit, ends what is read ahead, and waits for it.
func TestFeed_WaitsForWhatIsReadAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &numbered{pages: 9, stuck: 3}
		p := testPass(&Options{Limit: 2, ChunkBytes: 1 << 20}, newMemory(), nil, 1)
		p.src, p.now, p.maxTokens = c, time.Now, 10
		p.recorder = newRecorder(new(ledgerWriter), checkpoint.Lease{}, 1, p.ledger, p.kept, p.waitingFor, p.wait, zerolog.Nop())
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = p.recorder.serve(ctx) }()
		chunks := make(chan *chunk, 1)
		if err := p.feed(ctx, chunks); !errors.Is(err, errLimit) {
			t.Fatalf("got error %v, want %v", err, errLimit)
		}
		if int(c.reads.Load()) != 3 || int(c.ended.Load()) != 3 {
			t.Errorf("got %d reads, %d of them over, want 3 and all over", int(c.reads.Load()), int(c.ended.Load()))
		}
	})
}
