package migrate

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"tokenmigrate/checkpoint/pgerr"
)

func testPatience(limit time.Duration) (*patience, waits) {
	w := waits{}
	return &patience{limit: limit, waited: w.add, log: zerolog.Nop()}, w
}

func TestPatience_ReturnsWhatWaitingCannotMend(t *testing.T) {
	t.Parallel()
	own := errors.New("not a database's error")
	for _, want := range []error{nil, stopped, own, &pgerr.Error{Class: pgerr.Ended}} {
		synctest.Test(t, func(t *testing.T) {
			p, waited := testPatience(time.Hour)
			calls, start := 0, time.Now()
			err := p.database(t.Context(), "source database", func() error { calls++; return want })
			if err != want || calls != 1 || time.Since(start) != 0 || len(waited) != 0 {
				t.Errorf("got error %v after %d calls and %v (waited %v), want %v at once", err, calls, time.Since(start), waited, want)
			}
		})
	}
}

// Of several things that are waited for at once, none is forgotten when another ends.
func TestPatience_TellsWhatIsStillWaitedFor(t *testing.T) {
	t.Parallel()
	p, _ := testPatience(time.Hour)
	doubts, first, second := p.waiting("calls in doubt"), p.waiting("endpoint"), p.waiting("endpoint")
	for _, step := range []struct {
		done func()
		want string
	}{{func() {}, "endpoint"}, {first, "endpoint"}, {second, "calls in doubt"}, {doubts, ""}} {
		if step.done(); p.what() != step.want {
			t.Errorf("got waiting for %q, want %q", p.what(), step.want)
		}
	}
}

func TestPatience_WaitsUntilTheDatabaseIsBack(t *testing.T) {
	t.Parallel()
	for _, last := range []error{nil, stopped} {
		synctest.Test(t, func(t *testing.T) {
			p, waited := testPatience(5 * time.Minute)
			start := time.Now()
			back := start.Add(time.Minute)
			err := p.database(t.Context(), "source database", func() error {
				if time.Now().Before(back) {
					if time.Now().After(start) && p.what() != "source database" {
						t.Errorf("got waiting for %q, want source database", p.what())
					}
					return again
				}
				return last
			})
			// A try at least every 6 s: backoff ends at half a minute, of which it takes a fifth.
			if took := time.Since(start); err != last || took < time.Minute || took > time.Minute+6*time.Second {
				t.Errorf("got error %v after %v, want %v soon after a minute", err, took, last)
			}
			if got := waited["source database"]; got != time.Since(start).Seconds() || p.what() != "" {
				t.Errorf("got %g s counted and waiting for %q, want %g s and nothing", got, p.what(), time.Since(start).Seconds())
			}
		})
	}
}

func TestPatience_GivesUpAfterItsLimit(t *testing.T) {
	t.Parallel()
	for _, limit := range []time.Duration{0, time.Second, 5 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			p, _ := testPatience(limit)
			start := time.Now()
			err := p.database(t.Context(), "checkpoint database", func() error { return again })
			if !errors.Is(err, ErrUnavailable) || pgerr.ClassOf(err) != pgerr.Again {
				t.Errorf("limit %v: got error %v, want ErrUnavailable around the database's own", limit, err)
			}
			if took := time.Since(start); took < limit || took > limit+6*time.Second {
				t.Errorf("limit %v: gave up after %v", limit, took)
			}
		})
	}
}

func TestPatience_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := testPatience(time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		time.AfterFunc(10*time.Second, cancel)
		err := p.database(ctx, "source database", func() error { return again })
		if !errors.Is(err, context.Canceled) || time.Since(start) != 10*time.Second {
			t.Errorf("got error %v after %v, want %v after 10s", err, time.Since(start), context.Canceled)
		}
	})
}

func TestPatience_TellsTheLastCause(t *testing.T) {
	t.Parallel()
	p, _ := testPatience(0)
	first := p.waiting("lease")
	second := p.waiting("endpoint")
	first()
	if got := p.what(); got != "endpoint" {
		t.Errorf("got %q, want endpoint: the end of another wait does not clear it", got)
	}
	second()
	if got := p.what(); got != "" {
		t.Errorf("got %q, want nothing", got)
	}
}
