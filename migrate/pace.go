package migrate

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"
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

// pace gives permits for calls: one budget for all senders. After a 429 it
// pauses everyone, goes on below the pace that failed, and climbs back. It is
// safe for concurrent use.
type pace struct {
	limiter *rate.Limiter
	waited  func(cause string, seconds float64)
	now     func() time.Time
	jitter  func() float64 // in [0, 1)

	mu      sync.Mutex
	full    rate.Limit // as configured
	resume  time.Time  // nobody calls before
	slow    rate.Limit // while below full: the pace now
	episode time.Time  // when the pace was last lowered
	streak  int        // calls admitted since the last throttling
	unsaid  int        // throttlings in a row that did not say for how long
}

// newPace returns a pace of requestsPerMinute, evenly spaced: a burst of one,
// so that no window of the endpoint, however it lies, sees more than the pace.
func newPace(requestsPerMinute float64, waited func(string, float64)) *pace {
	full := rate.Limit(requestsPerMinute / 60)
	return &pace{
		limiter: rate.NewLimiter(full, 1), full: full, slow: full,
		waited: waited, now: time.Now, jitter: rand.Float64,
	}
}

// permit waits until a call may be made. It fails only with ctx.
func (p *pace) permit(ctx context.Context) error {
	for {
		start := p.now()
		if err := p.limiter.Wait(ctx); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
		p.waited("pace", p.now().Sub(start).Seconds())
		p.mu.Lock()
		left := p.resume.Sub(p.now())
		if left <= 0 {
			p.mu.Unlock()
			return nil
		}
		p.mu.Unlock()
		start = p.now()
		err := sleep(ctx, left)
		p.waited("throttled", p.now().Sub(start).Seconds())
		if err != nil {
			return err
		}
	}
}

// throttled pauses everyone for as long as the endpoint said, at least a
// second; where it said nothing, for a second that doubles each time. The
// throttled calls of one episode lower the pace once.
func (p *pace) throttled(wait time.Duration, said bool) {
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

// perMinute returns the pace now, and until when everyone pauses.
func (p *pace) perMinute() (rpm float64, pausedUntil time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return float64(p.slow) * 60, p.resume
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
