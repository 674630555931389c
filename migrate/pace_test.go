package migrate

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"tokenmigrate/checkpoint"
)

// quietPace is a pace whose pauses have no jitter.
func quietPace(rpm float64) *pace {
	p := newPace(rpm, func(string, float64) {})
	p.jitter = func() float64 { return 0 }
	return p
}

// callers has n callers make calls until done says so, and returns when the
// calls were made. Each call takes latency.
func callers(t *testing.T, p *pace, n int, latency time.Duration, done func(made int) bool) []time.Time {
	t.Helper()
	var mu sync.Mutex
	var at []time.Time
	var g errgroup.Group
	for range n {
		g.Go(func() error {
			for {
				if err := p.permit(t.Context()); err != nil {
					return err
				}
				mu.Lock()
				if done(len(at)) {
					mu.Unlock()
					return nil
				}
				at = append(at, time.Now())
				mu.Unlock()
				if err := sleep(t.Context(), latency); err != nil {
					return err
				}
			}
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatalf("permit: %v", err)
	}
	slices.SortFunc(at, time.Time.Compare)
	return at
}

// busiest returns the most calls in any window of d, however it lies.
func busiest(at []time.Time, d time.Duration) int {
	most, from := 0, 0
	for i := range at {
		for at[i].Sub(at[from]) >= d {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

func TestPace_KeepsToItsBudgetAndUsesIt(t *testing.T) {
	t.Parallel()
	for _, latency := range []time.Duration{0, 300 * time.Millisecond, 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			const minutes = 30
			at := callers(t, newPace(40, func(string, float64) {}), 4, latency, func(int) bool { return time.Since(start) >= minutes*time.Minute })
			if most := busiest(at, time.Minute); most > 40 {
				t.Errorf("latency %v: got %d calls in one minute, want at most 40", latency, most)
			}
			if want := minutes * 40 * 95 / 100; len(at) < want {
				t.Errorf("latency %v: got %d calls in %d minutes, want at least %d", latency, len(at), minutes, want)
			}
		})
	}
}

func TestPace_FixedWindowsOfFiftySeeNoThrottling(t *testing.T) {
	t.Parallel()
	for offset := range 6 {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			at := callers(t, newPace(40, func(string, float64) {}), 4, 200*time.Millisecond, func(made int) bool { return made >= 600 })
			windows := map[time.Duration]int{}
			for _, a := range at {
				w := (a.Sub(start) + time.Duration(offset)*10*time.Second) / time.Minute
				if windows[w]++; windows[w] > 50 {
					t.Fatalf("offset %d: window %d got its 51st call", offset, w)
				}
			}
		})
	}
}

func TestPace_ThrottledPausesEveryoneForAsLongAsSaid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		wait   time.Duration
		said   bool
		jitter float64
		want   time.Duration
	}{
		{7 * time.Second, true, 0, 7 * time.Second},
		{7 * time.Second, true, 0.5, 7700 * time.Millisecond},
		{10 * time.Second, true, 0.999999, 11999998 * time.Microsecond},
		{0, true, 0, time.Second},
		{-time.Hour, true, 0, time.Second},
		{300 * time.Millisecond, true, 0, time.Second},
		{time.Hour, true, 0, 10 * time.Minute},
		{time.Hour, true, 0.5, 11 * time.Minute},
		{0, false, 0, time.Second},
		{time.Hour, false, 0, time.Second}, // not said: it does not count
	} {
		synctest.Test(t, func(t *testing.T) {
			waited := waits{}
			p := newPace(6000, func(cause string, s float64) { waited[cause] += s })
			p.jitter = func() float64 { return c.jitter }
			pause, shared := p.throttled(c.wait, c.said)
			if pause != c.want || shared {
				t.Errorf("throttled(%v, %t) with jitter %g: got %v (shared %t), want %v (false)", c.wait, c.said, c.jitter, pause, shared, c.want)
			}
			if _, waiting := p.state(); !strings.Contains(waiting, "throttled until") {
				t.Errorf("got %q, want it to say that calls are throttled", waiting)
			}
			start := time.Now()
			var mu sync.Mutex
			first := time.Duration(1 << 62)
			p.waited = func(cause string, s float64) { mu.Lock(); waited[cause] += s; mu.Unlock() }
			callers(t, p, 5, 0, func(made int) bool {
				first = min(first, time.Since(start))
				return made >= 5
			})
			if first < c.want || first > c.want+50*time.Millisecond {
				t.Errorf("throttled(%v, %t): the first of five callers went on after %v, want %v", c.wait, c.said, first, c.want)
			}
			if got := waited["throttled"]; got < c.want.Seconds() {
				t.Errorf("got %g s counted as throttled, want at least %g", got, c.want.Seconds())
			}
		})
	}
}

func TestPace_ALaterAnswerDoesNotShortenAPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := quietPace(60)
		p.throttled(time.Minute, true)
		p.throttled(2*time.Second, true)
		start := time.Now()
		if err := p.permit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(start); got < time.Minute {
			t.Errorf("went on after %v, want a minute: the longest wait that was said", got)
		}
	})
}

func TestPace_UnsaidPausesDoubleUpToAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := quietPace(600)
		for n, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
			pause, _ := p.throttled(0, false)
			if pause != want*time.Second {
				t.Errorf("throttling %d: got a pause of %v, want %v", n+1, pause, want*time.Second)
			}
			time.Sleep(pause + time.Millisecond) // synthetic time
		}
		p.admitted()
		if pause, _ := p.throttled(0, false); pause != time.Second {
			t.Errorf("after an admitted call: got %v, want a second again", pause)
		}
	})
}

func TestPace_OneEpisodeLowersOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := quietPace(40)
		for range 4 { // the calls that were under way
			p.throttled(5*time.Second, true)
		}
		if rpm, _ := p.state(); rpm != 20 {
			t.Errorf("after one episode: got %g a minute, want 20", rpm)
		}
		time.Sleep(6 * time.Second)
		p.throttled(5*time.Second, true)
		if rpm, _ := p.state(); rpm != 10 {
			t.Errorf("after two episodes: got %g a minute, want 10", rpm)
		}
		for range 20 {
			time.Sleep(time.Minute)
			p.throttled(time.Second, true)
		}
		if rpm, _ := p.state(); rpm != 40.0/64 {
			t.Errorf("after many: got %g a minute, want a 64th of the full pace and no less", rpm)
		}
	})
}

func TestPace_ClimbsBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := quietPace(60)
		p.throttled(time.Second, true)
		time.Sleep(2 * time.Second)
		for range 9 {
			p.admitted()
		}
		if rpm, _ := p.state(); rpm != 30 {
			t.Errorf("after 9 admitted calls: got %g a minute, want still 30", rpm)
		}
		p.admitted()
		if rpm, _ := p.state(); rpm < 35.99 || rpm > 36.01 {
			t.Errorf("after 10 admitted calls: got %g a minute, want 36", rpm)
		}
		for range 1000 {
			p.admitted()
		}
		if rpm, _ := p.state(); rpm != 60 {
			t.Errorf("after many: got %g a minute, want 60 and no more", rpm)
		}
		start := time.Now()
		at := callers(t, p, 4, 0, func(int) bool { return time.Since(start) >= 10*time.Minute })
		if len(at) < 570 || busiest(at, time.Minute) > 60 {
			t.Errorf("got %d calls in ten minutes and %d in the busiest, want 600 and 60", len(at), busiest(at, time.Minute))
		}
	})
}

func TestPace_GoesOnSlowerThanTheOneThatFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := quietPace(60)
		p.throttled(time.Second, true)
		at := callers(t, p, 4, 0, func(made int) bool { return made >= 10 })
		for i := 1; i < len(at); i++ {
			if gap := at[i].Sub(at[i-1]); gap < 2*time.Second-time.Millisecond {
				t.Errorf("calls %d and %d are %v apart, want 2 s: half the pace", i, i+1, gap)
			}
		}
	})
}

func TestPace_CancelledPermitReturnsPromptly(t *testing.T) {
	t.Parallel()
	for name, hold := range map[string]func(p *pace){
		"the pace":   func(p *pace) { _ = p.permit(context.Background()) },
		"throttling": func(p *pace) { p.throttled(time.Hour, true) },
		"a pause":    func(p *pace) { p.steer(checkpoint.Steering{Paused: true}) },
	} {
		synctest.Test(t, func(t *testing.T) {
			p := quietPace(1)
			hold(p)
			ctx, cancel := context.WithCancel(t.Context())
			start := time.Now()
			time.AfterFunc(3*time.Second, cancel)
			if err := p.permit(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: got error %v, want %v", name, err, context.Canceled)
			}
			if got := time.Since(start); got != 3*time.Second {
				t.Errorf("%s: returned after %v, want at once after 3 s", name, got)
			}
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			if err := p.permit(ended); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: got error %v from a context that had ended, want %v", name, err, context.Canceled)
			}
			short, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := p.permit(short); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: got error %v, want %v", name, err, context.DeadlineExceeded)
			}
		})
	}
}

func TestPace_IsSteered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := quietPace(60)
		if p.steer(checkpoint.Steering{Workers: 1}) {
			t.Error("steering that asks for nothing is told as a change")
		}
		if !p.steer(checkpoint.Steering{Paused: true}) || p.steer(checkpoint.Steering{Paused: true}) {
			t.Error("a pause is a change once")
		}
		if _, waiting := p.state(); !strings.Contains(waiting, "paused") || !strings.Contains(waiting, "resume") {
			t.Errorf("got %q, want it to tell of the pause and the remedy", waiting)
		}
		start := time.Now()
		time.AfterFunc(time.Hour, func() { p.steer(checkpoint.Steering{}) })
		at := callers(t, p, 4, 0, func(made int) bool { return made >= 8 })
		if first := at[0].Sub(start); first != time.Hour {
			t.Errorf("went on after %v, want an hour: when it was resumed", first)
		}
		for i := 1; i < len(at); i++ {
			if at[i].Sub(at[i-1]) < time.Second-time.Millisecond {
				t.Errorf("calls %d and %d after the pause are %v apart, want a second", i, i+1, at[i].Sub(at[i-1]))
			}
		}
		for _, c := range []struct{ asked, want float64 }{{120, 120}, {6, 6}, {0, 60}} {
			if !p.steer(checkpoint.Steering{RequestsPerMinute: c.asked}) {
				t.Errorf("pace %g is not told as a change", c.asked)
			}
			if rpm, _ := p.state(); rpm < c.want-0.01 || rpm > c.want+0.01 {
				t.Errorf("pace %g: got %g a minute, want %g", c.asked, rpm, c.want)
			}
		}
	})
}

func TestPace_TakesTurnsFromTheSharedBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := quietPace(60)
		var asked []time.Duration
		p.slot = func(_ context.Context, every time.Duration) (time.Duration, error) {
			asked = append(asked, every)
			return 4 * time.Second, nil
		}
		p.steer(checkpoint.Steering{Workers: 2})
		start := time.Now()
		if err := p.permit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(start); got != 4*time.Second || len(asked) != 1 || asked[0] != time.Second {
			t.Errorf("got a permit after %v, having asked for slots of %v; want 4 s, [1s]", got, asked)
		}
		if _, shared := p.throttled(time.Second, true); !shared {
			t.Error("the other workers are not to be told of a throttling")
		}
		lost := errors.New("the database is away")
		p.slot = func(context.Context, time.Duration) (time.Duration, error) { return 0, lost }
		if err := p.permit(t.Context()); !errors.Is(err, lost) {
			t.Errorf("got error %v, want %v", err, lost)
		}
	})
}

// A bucket of four calls a second that never says how long to wait: a pace of
// 600 a minute finds its way to 40 calls with at most 24 refusals.
func TestPace_FindsItsWayUnderASilentBucket(t *testing.T) {
	t.Parallel()
	worst := 0
	for _, senders := range []int{1, 4, 8} {
		for _, latency := range []time.Duration{0, 30 * time.Millisecond, 250 * time.Millisecond, time.Second} {
			for seed := range uint64(12) {
				synctest.Test(t, func(t *testing.T) {
					throttled := underBucket(t, senders, latency, seed)
					worst = max(worst, throttled)
					if throttled > 24 {
						t.Errorf("%d senders, latency %v, seed %d: throttled %d times in 40 calls, want at most 24", senders, latency, seed, throttled)
					}
				})
			}
		}
	}
	t.Logf("at worst throttled %d times", worst)
}

// underBucket makes 40 calls that a bucket lets through, and returns how many
// it refused.
func underBucket(t *testing.T, senders int, latency time.Duration, seed uint64) int {
	rnd := rand.New(rand.NewPCG(seed, 6))
	p := newPace(600, func(string, float64) {})
	var mu sync.Mutex
	p.jitter = func() float64 { return rnd.Float64() } // under the pace's lock
	const room, perSecond = 4.0, 4.0
	level, last := room, time.Now()
	passed, refused := 0, 0
	start := time.Now()
	var g errgroup.Group
	for range senders {
		g.Go(func() error {
			for {
				if err := p.permit(t.Context()); err != nil {
					return err
				}
				if err := sleep(t.Context(), latency/2); err != nil {
					return err
				}
				mu.Lock()
				if passed >= 40 {
					mu.Unlock()
					return nil
				}
				level, last = min(room, level+time.Since(last).Seconds()*perSecond), time.Now()
				admitted := level >= 1
				if admitted {
					level--
					passed++
				} else {
					refused++
				}
				mu.Unlock()
				if err := sleep(t.Context(), latency-latency/2); err != nil {
					return err
				}
				if admitted {
					p.admitted()
				} else {
					p.throttled(0, false)
				}
			}
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d > 5*time.Minute {
		t.Errorf("%d senders, latency %v: 40 calls took %v, want less than 5 minutes", senders, latency, d)
	}
	return refused
}

func TestSleep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if err := sleep(t.Context(), time.Minute); err != nil || time.Since(start) != time.Minute {
			t.Errorf("got error %v after %v, want none after a minute", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := sleep(ctx, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got error %v, want %v", err, context.DeadlineExceeded)
		}
	})
}

func TestBackoff_StaysInItsBounds(t *testing.T) {
	t.Parallel()
	for n, full := range map[int]time.Duration{1: 1, 2: 2, 3: 4, 4: 8, 5: 16, 6: 30, 7: 30, 100: 30, 1 << 40: 30} {
		full *= time.Second
		low, high := full, time.Duration(0)
		for range 2000 {
			d := backoff(n)
			low, high = min(low, d), max(high, d)
		}
		if low < full/2 || high > full {
			t.Errorf("try %d: got %v to %v, want %v to %v", n, low, high, full/2, full)
		}
		if high-low < full/4 {
			t.Errorf("try %d: got %v to %v, want it spread over half of %v", n, low, high, full)
		}
	}
}
