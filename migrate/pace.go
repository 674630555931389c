package migrate

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"tokenmigrate/checkpoint"
)

// Bounds of the pause after a throttled call.
const (
	minPause    = time.Second
	maxPause    = 10 * time.Minute
	pauseJitter = 0.2
	// maxUnsaidPause bounds the pause where the endpoint does not say how long:
	// its windows are a minute.
	maxUnsaidPause = time.Minute
)

// pace gives permits for calls: one budget for all senders, and for all workers
// of the same destination and team while there are several. After a 429 it
// pauses everyone, goes on below the pace that failed, and climbs back. It is
// safe for concurrent use.
type pace struct {
	limiter *rate.Limiter
	waited  func(cause string, seconds float64)
	now     func() time.Time
	jitter  func() float64 // in [0, 1)
	// slot takes the next call of the budget that is shared with other workers.
	slot func(ctx context.Context, every time.Duration) (time.Duration, error)

	mu         sync.Mutex
	configured rate.Limit
	full       rate.Limit    // as configured, or as an operator wants it
	slow       rate.Limit    // the pace now: full, or below it after a throttling
	resume     time.Time     // nobody calls before
	episode    time.Time     // when the last episode of throttling ends
	streak     int           // calls admitted since the last throttling
	unsaid     int           // throttlings in a row that did not say for how long
	shared     bool          // other workers are alive
	paused     bool          // an operator wants no calls
	wakes      time.Time     // when the last of those that wait for their turn has it
	steered    chan struct{} // closed and replaced when any of this is steered
}

// newPace returns a pace of requestsPerMinute, evenly spaced: a burst of one,
// so that no window of the endpoint, however it lies, sees more than the pace.
func newPace(requestsPerMinute float64, waited func(string, float64)) *pace {
	full := rate.Limit(requestsPerMinute / 60)
	return &pace{
		limiter: rate.NewLimiter(full, 1), configured: full, full: full, slow: full,
		waited: waited, now: time.Now, jitter: rand.Float64, steered: make(chan struct{}),
	}
}

// permit waits until a call may be made. It fails with ctx, or with the
// database that the budget is shared through.
func (p *pace) permit(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.timed("paused", func() error { return p.unpaused(ctx) }); err != nil {
			return err
		}
		if err := p.timed("pace", func() error { return p.turn(ctx) }); err != nil {
			return err
		}
		p.mu.Lock()
		left, paused := p.resume.Sub(p.now()), p.paused
		p.mu.Unlock()
		if left <= 0 && !paused {
			return ctx.Err() // at a high pace nothing has waited, nor looked at ctx
		}
		if err := p.timed("throttled", func() error { return sleep(ctx, left) }); err != nil {
			return err
		}
	}
}

// timed counts what wait takes as waiting for cause.
func (p *pace) timed(cause string, wait func() error) error {
	start := p.now()
	err := wait()
	if d := p.now().Sub(start); d > 0 {
		p.waited(cause, d.Seconds())
	}
	return err
}

// turn waits for the next call that the budget allows. Whoever waits when the
// pace is steered gives its place back and asks again.
func (p *pace) turn(ctx context.Context) error {
	for {
		p.mu.Lock()
		shared, every, steered := p.shared, time.Duration(float64(time.Second)/float64(p.slow)), p.steered
		limiter := p.limiter
		p.mu.Unlock()
		var wait time.Duration
		giveBack := func() {}
		if shared {
			var err error
			if wait, err = p.slot(ctx, every); err != nil {
				return err
			}
		} else {
			place := limiter.ReserveN(p.now(), 1)
			wait, giveBack = place.DelayFrom(p.now()), func() { place.CancelAt(p.now()) }
		}
		if wait <= 0 {
			return nil
		}
		p.sleeps(wait)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
			return nil
		case <-steered:
			timer.Stop()
			giveBack()
		case <-ctx.Done():
			timer.Stop()
			giveBack()
			return ctx.Err()
		}
	}
}

// sleeps notes that somebody waits for its turn, which comes in d.
func (p *pace) sleeps(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := p.now().Add(d); at.After(p.wakes) {
		p.wakes = at
	}
}

// asleep reports whether somebody's turn is still to come.
func (p *pace) asleep() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now().Before(p.wakes)
}

// unpaused waits while an operator wants no calls.
func (p *pace) unpaused(ctx context.Context) error {
	for {
		p.mu.Lock()
		paused, steered := p.paused, p.steered
		p.mu.Unlock()
		if !paused {
			return nil
		}
		select {
		case <-steered:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// steer does what operators ask for, and shares the budget while other workers
// are alive. It reports whether anything changed.
func (p *pace) steer(s checkpoint.Steering) (changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	full := p.configured
	if s.RequestsPerMinute > 0 {
		full = rate.Limit(s.RequestsPerMinute / 60)
	}
	if full != p.full {
		if p.slow == p.full || p.slow > full { // else it goes on climbing back
			p.slow = full
		}
		p.full, changed = full, true
		// A new limiter, since the old one has given places away at the old pace. Its
		// first call comes after one interval, not at once.
		p.limiter = rate.NewLimiter(p.slow, 1)
		p.limiter.AllowN(p.now(), 1)
	}
	if s.Paused != p.paused {
		p.paused, changed = s.Paused, true
	}
	if until := p.now().Add(s.PausedFor); s.PausedFor > 0 && until.After(p.resume) {
		p.resume = until
	}
	if shared := s.Workers > 1; shared != p.shared {
		p.shared, changed = shared, true
	}
	if changed {
		close(p.steered)
		p.steered = make(chan struct{})
	}
	return changed
}

// throttled pauses everyone for as long as the endpoint said, at least a
// second; where it said nothing, for a second that doubles each time. The
// throttled calls of one episode lower the pace once. It returns the pause, and
// whether other workers have to be told of it.
func (p *pace) throttled(wait time.Duration, said bool) (pause time.Duration, shared bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	fresh := now.After(p.episode)
	if !said {
		wait = min(minPause<<p.unsaid, maxUnsaidPause)
	}
	wait = min(max(wait, minPause), maxPause)
	wait += time.Duration(float64(wait) * pauseJitter * p.jitter())
	if until := now.Add(wait); until.After(p.resume) {
		p.resume = until
	}
	// Calls that were under way when the first 429 came belong to its episode.
	if fresh {
		if !said && p.unsaid < 6 {
			p.unsaid++
		}
		p.slow = max(p.slow/2, p.full/64)
		p.limiter.SetLimitAt(now, p.slow)
	}
	p.episode, p.streak = p.resume, 0
	return wait, p.shared
}

// admitted notes a call that was let through; ten in a row win back a tenth of
// the configured pace.
func (p *pace) admitted() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unsaid = 0
	if p.slow >= p.full {
		return
	}
	if p.streak++; p.streak >= 10 {
		p.streak = 0
		p.slow = min(p.slow+p.full/10, p.full)
		p.limiter.SetLimitAt(p.now(), p.slow)
	}
}

// state returns the pace now, and what keeps everyone from calling, if anything.
func (p *pace) state() (rpm float64, waiting string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.paused:
		waiting = "paused by an operator (`resume` lets it go on)"
	case p.resume.After(p.now()):
		waiting = "throttled until " + p.resume.UTC().Format(time.TimeOnly)
	}
	return math.Round(float64(p.slow)*60e6) / 1e6, waiting // and not 1000000.0000000001
}

// sleep waits for d, or for the end of ctx, whose error it then returns.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// backoff returns how long to wait before try n+1, n from 1: it doubles from a
// second to half a minute, with jitter of up to a half downwards.
func backoff(n int) time.Duration {
	d := time.Second << min(n-1, 5)
	d = min(d, 30*time.Second)
	return d - time.Duration(rand.Float64()*float64(d)/2)
}
