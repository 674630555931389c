package migrate

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"tokenmigrate/source"
)

// numbered is a source of pages of one row each, whose reads it counts. Their keys and
// cursors count up from 1; a page that is to fail does.
type numbered struct {
	walker
	pages, reads int
	failing      int // which read fails; 0: none
	stuck        bool
	takes        time.Duration // of each read
}

func (c *numbered) Page(ctx context.Context, after source.Cursor) (source.Page, error) {
	c.reads++
	time.Sleep(c.takes)
	if c.stuck && c.reads == 3 {
		<-ctx.Done()
		return source.Page{}, ctx.Err()
	}
	if c.reads == c.failing {
		return source.Page{Next: after}, stopped
	}
	n := strconv.Itoa(c.reads)
	return source.Page{Rows: []source.Row{userRow(n, "u"+n)}, End: c.reads == c.pages, ReadAt: noon}, nil
}

// readingAhead calls do with what reads c in a bubble of its own.
func readingAhead(t *testing.T, c *numbered, do func(ctx context.Context, a *readAhead)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := testPass(&Options{}, newMemory(), nil, 1)
		p.src, p.now = c, time.Now
		ctx, cancel := context.WithCancel(t.Context())
		a := &readAhead{pass: p}
		defer a.wait()
		defer cancel()
		do(ctx, a)
	})
}

// A page is read ahead as long as pages go through within aheadWithin, and only then.
func TestReadAhead_OnlyWherePagesGoThroughQuickly(t *testing.T) {
	t.Parallel()
	c := &numbered{pages: 9}
	readingAhead(t, c, func(ctx context.Context, a *readAhead) {
		for i, step := range []struct {
			key   string
			work  time.Duration // on the page
			reads int           // when it was
		}{
			{"1", 0, 1}, // nothing is known of the pace yet
			{"2", aheadWithin / 2, 3},
			{"3", aheadWithin, 4},
			{"5", time.Minute, 5}, // what was read ahead has waited for too long
			{"6", 0, 6},
			{"7", 0, 8},
			{"8", 0, 9},
			{"9", 0, 9}, // the end
		} {
			page, marks, err := a.next(ctx)
			if err != nil || page.Rows[0].Key != step.key || page.End != (step.key == "9") {
				t.Fatalf("page %d: got %v and error %v, want the row %s", i+1, page.Rows, err, step.key)
			}
			if it := itemOf(page.Rows[0]); marks[0].size != it.size {
				t.Errorf("page %d: got a mark of %d bytes, want %d", i+1, marks[0].size, it.size)
			}
			time.Sleep(step.work)
			synctest.Wait()
			if c.reads != step.reads {
				t.Errorf("behind page %d: got %d pages read, want %d", i+1, c.reads, step.reads)
			}
		}
	})
}

// How long reading takes does not count as work on a page.
func TestReadAhead_OfASlowSource(t *testing.T) {
	t.Parallel()
	c := &numbered{pages: 9, takes: time.Minute}
	readingAhead(t, c, func(ctx context.Context, a *readAhead) {
		for range 2 {
			if _, _, err := a.next(ctx); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if c.reads != 3 {
			t.Errorf("got %d pages read, want the third under way", c.reads)
		}
	})
}

func TestReadAhead_FailsInItsTurn(t *testing.T) {
	t.Parallel()
	readingAhead(t, &numbered{pages: 9, failing: 3}, func(ctx context.Context, a *readAhead) {
		for range 2 {
			if _, _, err := a.next(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := a.next(ctx); !errors.Is(err, stopped) {
			t.Errorf("got error %v, want %v", err, stopped)
		}
	})
}

// Who ends a walk early waits for what is read ahead, which the end of ctx ends: the
// bubble would find a goroutine left over.
func TestReadAhead_IsWaitedFor(t *testing.T) {
	t.Parallel()
	readingAhead(t, &numbered{pages: 9, stuck: true}, func(ctx context.Context, a *readAhead) {
		for range 2 {
			if _, _, err := a.next(ctx); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
	})
}

// A read that hangs is given up with the page that it was to follow soon.
func TestReadAhead_OfWhatHangs(t *testing.T) {
	t.Parallel()
	readingAhead(t, &numbered{pages: 9, stuck: true}, func(ctx context.Context, a *readAhead) {
		for range 2 {
			if _, _, err := a.next(ctx); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(aheadWithin)
		if page, _, err := a.next(ctx); err != nil || page.Rows[0].Key != "4" {
			t.Errorf("got %v and error %v, want the row as it is read again", page.Rows, err)
		}
	})
}
