package migrate

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/connect/sandbox"
)

// wallClock is time.Now on a machine whose clock somebody sets: the time of day
// jumps, the monotonic reading that every time of Go's has does not.
type wallClock struct{ off atomic.Int64 }

// set moves the time of day to off from the true one.
func (c *wallClock) set(off time.Duration) { c.off.Store(int64(off)) }

func (c *wallClock) now() time.Time {
	t := time.Now()
	// Go has no way to make such a time. Its first word holds the time of day: the
	// seconds begin at bit 30, while bit 63 says that there is a monotonic reading.
	*(*uint64)(unsafe.Pointer(&t)) += uint64(c.off.Load()/int64(time.Second)) << 30
	return t
}

func TestWallClock_JumpsAsAMachinesDoes(t *testing.T) {
	t.Parallel()
	var c wallClock
	for _, off := range []time.Duration{0, time.Hour, -time.Hour} {
		before := time.Now()
		c.set(off)
		at := c.now()
		if d := at.Sub(before); d < 0 || d > 10*time.Second {
			t.Errorf("set by %v: %v went by, want about none", off, d)
		}
		if d := at.Round(0).Sub(before.Round(0)); d < off-time.Second || d > off+10*time.Second {
			t.Errorf("set by %v: the time of day moved by %v", off, d)
		}
	}
}

// What has to last for a time does, whatever the time of day does meanwhile.
func TestClock_TimesAreMeasuredNotTold(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	for name, holds := range map[string]func(c *wallClock, jump func()) bool{
		"a young row is not old": func(c *wallClock, jump func()) bool {
			p := pass{now: c.now}
			row := chunk{oldest: c.now()}
			jump()
			return !p.old(&row)
		},
		"an old row is": func(c *wallClock, jump func()) bool {
			p := pass{now: c.now}
			row := chunk{oldest: c.now().Add(-maxAge - time.Second)}
			jump()
			return p.old(&row)
		},
		"a lease is valid": func(c *wallClock, jump func()) bool {
			l := tenure{now: c.now}
			l.extend(c.now())
			jump()
			return l.valid()
		},
		"a lapsed one is not": func(c *wallClock, jump func()) bool {
			l := tenure{now: c.now}
			l.extend(c.now().Add(-checkpoint.LeaseTTL))
			jump()
			return !l.valid()
		},
		"an endpoint is not down": func(c *wallClock, jump func()) bool {
			h := health{limit: 10 * time.Minute}
			h.failed(c.now())
			jump()
			return !h.failed(c.now())
		},
		"one that is down is": func(c *wallClock, jump func()) bool {
			h := health{limit: 10 * time.Minute}
			h.failed(c.now().Add(-10 * time.Minute))
			jump()
			return h.failed(c.now())
		},
		"a pause lasts": func(c *wallClock, jump func()) bool {
			p := newPace(60_000, func(string, float64) {})
			p.now = c.now
			start := time.Now()
			p.throttled(time.Second, true)
			jump()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			return p.permit(ctx) == nil && time.Since(start) >= time.Second
		},
		"calls are apart": func(c *wallClock, jump func()) bool {
			p := newPace(600, func(string, float64) {})
			p.now = c.now
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			start := time.Now()
			for i := range 6 {
				if i == 3 {
					jump()
				}
				if p.permit(ctx) != nil {
					return false
				}
			}
			return time.Since(start) >= 490*time.Millisecond
		},
	} {
		for _, off := range []time.Duration{hour, -hour} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				var c wallClock
				if !holds(&c, func() { c.set(off) }) {
					t.Errorf("the clock was set by %v: got the contrary", off)
				}
			})
		}
	}
}

// The clock is set in the middle of a run that is throttled and has calls of an
// earlier run in doubt: it takes no longer, reads nothing again for being old,
// and keeps its lease.
func TestRun_TheClockIsSet(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			t.Parallel()
			testClockIsSet(t, off)
		})
	}
}

func testClockIsSet(t *testing.T, off time.Duration) {
	w := newNetwork(t, 600, sandbox.Options{Latency: 5 * time.Millisecond, Faults: []sandbox.Fault{{Kind: sandbox.Hang, Times: 2}}})
	var c wallClock
	w.o.now, w.source.Now = c.now, c.now
	w.o.Concurrency, w.o.CallTimeout = 2, 2*time.Second
	cut, cancel := context.WithCancel(t.Context())
	defer cancel()
	hanging := make(chan struct{})
	go func() {
		defer close(hanging)
		for w.end.Summary().Calls < 2 && sleep(cut, time.Millisecond) == nil {
		}
		cancel()
	}()
	_, err := w.run(t.Context(), cut)
	cancel()
	<-hanging
	if n := len(w.texts(`SELECT id::text FROM tokenmigrate.calls`)); n != 2 {
		t.Fatalf("%d calls are in doubt after the first run (%v), want 2", n, err)
	}

	again := `ey" = ANY($1)` // how rows are read by their keys
	w.src.count(again)
	if err := w.end.SetFaults([]sandbox.Fault{{Kind: sandbox.Status, Status: 429, RetryAfter: "1", Share: 0.1, Times: 4}}); err != nil {
		t.Fatal(err)
	}
	calls := w.end.Summary().Calls
	wait := w.start()
	for i, set := range []time.Duration{off, 0, off} {
		w.reached(calls + 5*(i+1))
		c.set(set)
	}
	r, err := wait()
	if err != nil || r.Counts.Imported != int64(w.rows) {
		t.Errorf("got %+v, %v, want %d imported", r.Counts, err, w.rows)
	}
	// The rows of the calls in doubt are read again, once these are settled.
	if n := w.src.counted(again); n != 1 && n != 2 {
		t.Errorf("rows were read again %d times, want only those of the two calls in doubt", n)
	}
	w.wantNothingOpen()
}

// A worker that is frozen between an intent and its call, until its lease has
// lapsed, takes the intent back when it wakes, and makes no call before it has
// renewed the lease and read the rows again.
func TestRun_AFrozenCallIsNotMade(t *testing.T) {
	t.Parallel()
	w := newNetwork(t, 30, sandbox.Options{})
	w.o.Concurrency = 1
	var slept atomic.Int64
	w.o.now = func() time.Time { return time.Now().Add(time.Duration(slept.Load())) }
	w.source.Now = w.o.now
	var mu sync.Mutex
	steps := map[string]int{}
	w.o.Step = func(name string, _ int) {
		mu.Lock()
		defer mu.Unlock()
		if steps[name]++; name == "after_intent" && steps[name] == 2 {
			slept.Store(int64(checkpoint.LeaseTTL + time.Second))
		}
	}
	r, err := w.start()()
	w.wantOnce(r, err)
	if steps["after_intent"] != 4 || steps["after_call"] != 3 || r.Calls.Made != 3 {
		t.Errorf("got %v, %d calls told of; want 4 intents and 3 calls", steps, r.Calls.Made)
	}
}
