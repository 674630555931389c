package migrate

import (
	"fmt"
	"sync"
	"time"
)

// health tells an endpoint that is down from a chunk that is bad: it knows when
// a call was last answered, and how many in a row were not. It is safe for
// concurrent use.
type health struct {
	limit time.Duration // how long no call may be answered

	mu        sync.Mutex
	successes int64
	failures  int // in a row
	downSince time.Time
}

// answered notes a call that the endpoint answered, whatever it said.
func (h *health) answered() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.successes++
	h.failures, h.downSince = 0, time.Time{}
}

// failed notes a call without an answer, and reports whether the endpoint has
// now been down for longer than limit.
func (h *health) failed(now time.Time) (down bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures++
	if h.downSince.IsZero() {
		h.downSince = now
	}
	return now.Sub(h.downSince) >= h.limit
}

// restart lets the time without answers begin anew: nobody was allowed to call.
func (h *health) restart() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.downSince = time.Time{}
}

// delay is how long to wait before the next call; zero while calls are answered.
func (h *health) delay() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failures == 0 {
		return 0
	}
	return backoff(h.failures)
}

// count returns how many calls were answered so far.
func (h *health) count() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.successes
}

// breaker stops a migration that goes wrong as a whole: it keeps how the last
// tokens of one connector ended.
type breaker struct {
	share   float64 // that may be refused or rejected
	window  [1000]bool
	next, n int
	bad     int
}

// The breaker says nothing before it has seen this much.
const (
	breakerJudged   = 50
	breakerFailures = 25
)

// words tell how many of the last tokens were refused.
func (b *breaker) words() string { return fmt.Sprintf("%d of its last %d tokens", b.bad, b.n) }

// judged notes how a token ended, and reports whether too many were refused.
func (b *breaker) judged(refused bool) (open bool) {
	if b.n == len(b.window) {
		if b.window[b.next] {
			b.bad--
		}
	} else {
		b.n++
	}
	b.window[b.next] = refused
	if refused {
		b.bad++
	}
	b.next = (b.next + 1) % len(b.window)
	return b.n >= breakerJudged && b.bad >= breakerFailures && float64(b.bad) >= b.share*float64(b.n)
}
