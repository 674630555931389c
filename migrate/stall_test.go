package migrate

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// stalls tells what the watchdog of a pass makes of d, in which what do does happens.
// After 41 seconds, just after a look, its clock jumps ahead.
func stalls(t *testing.T, o Options, d, jump time.Duration, do func(ctx context.Context, p *pass)) (err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := testPass(&o, newMemory(), nil, 1)
		began := time.Now()
		p.now = func() time.Time {
			if at := time.Now(); at.Sub(began) > 41*time.Second {
				return at.Add(jump)
			}
			return time.Now()
		}
		p.cutShort = func() {}
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		go do(ctx, p)
		err = p.watchdog(ctx)
		cancel()
		synctest.Wait()
	})
	return err
}

// moving moves p every so often.
func moving(every time.Duration) func(context.Context, *pass) {
	return func(ctx context.Context, p *pass) {
		for sleep(ctx, every) == nil {
			p.moved()
		}
	}
}

func TestWatchdog(t *testing.T) {
	t.Parallel()
	pausedFor := func(d time.Duration) func(context.Context, *pass) {
		return func(ctx context.Context, p *pass) {
			p.pace.mu.Lock()
			p.pace.now, p.pace.resume = time.Now, time.Now().Add(d)
			p.pace.mu.Unlock()
		}
	}
	for _, c := range []struct {
		name   string
		o      Options
		in     time.Duration
		do     func(context.Context, *pass)
		stalls bool
	}{
		{"nothing at all", Options{}, stallAfter + time.Minute, func(context.Context, *pass) {}, true},
		{"nothing, for less than that", Options{}, stallAfter - time.Second, func(context.Context, *pass) {}, false},
		{"now and then something", Options{}, 3 * time.Hour, moving(stallAfter - stallLook), false},
		{"a long pause", Options{}, 2 * time.Hour, pausedFor(2 * time.Hour), false},
		{"nothing after a pause", Options{}, 2 * time.Hour, pausedFor(time.Hour), true},
		{"calls that take as long as they may", Options{CallTimeout: 10 * time.Minute}, 3 * time.Hour, moving(10*time.Minute + time.Second), false},
		{"nothing, where calls may take long", Options{CallTimeout: 10 * time.Minute}, 30 * time.Minute, func(context.Context, *pass) {}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if err := stalls(t, c.o, c.in, 0, c.do); errors.Is(err, ErrStalled) != c.stalls {
				t.Errorf("got %v, want a stall: %v", err, c.stalls)
			}
		})
	}
}

// A clock that jumps, or a machine that stood still, is no stall.
func TestWatchdog_AClockThatJumps(t *testing.T) {
	t.Parallel()
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		if err := stalls(t, Options{}, 30*time.Minute, jump, moving(20*time.Second)); err != nil {
			t.Errorf("by %s: got %v", jump, err)
		}
		if err := stalls(t, Options{}, 30*time.Minute, jump, func(context.Context, *pass) {}); !errors.Is(err, ErrStalled) {
			t.Errorf("by %s, and nothing moves: got %v, want a stall", jump, err)
		}
	}
}
