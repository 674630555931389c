package sandbox

import (
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Tell is the set of ways in which a 429 says how long to wait.
type Tell uint16

// The ways of saying it. Instants are of the server's clock, which also sets
// the Date header.
const (
	TellRetryAfter     Tell = 1 << iota // Retry-After: whole seconds, rounded up
	TellRetryAfterDate                  // Retry-After: an HTTP date, rounded up to the second
	TellRetryAfterZero                  // Retry-After: 0, whatever the truth
	TellReset                           // limit.reset in the body, Unix seconds, rounded up
	TellResetMs                         // limit.resetMs in the body, Unix milliseconds
	TellHeaders                         // X-RateLimit-Limit, -Remaining and -Reset (Unix seconds), on other answers of the import too
	TellDurations                       // reset, resetMs and X-RateLimit-Reset are durations from now instead of instants
	TellOldBody                         // code too_many_requests, and limit beside error instead of in it
	TellNothing                         // none of them

	// TellDocumented is what a 429 of the real endpoint is documented to say,
	// and what zero means.
	TellDocumented = TellRetryAfter | TellReset | TellResetMs | TellHeaders
)

// limiter counts the import calls of each team.
type limiter struct {
	limit  int
	window time.Duration
	tell   Tell
	rate   float64
	burst  int

	mu      sync.Mutex
	windows map[string]*window
	buckets map[string]*rate.Limiter
}

type window struct {
	start time.Time
	used  int
}

func newLimiter(o Options) *limiter {
	return &limiter{
		limit: o.Limit, window: o.Window, tell: o.Tell, rate: o.BucketPerSecond, burst: o.BucketBurst,
		windows: map[string]*window{}, buckets: map[string]*rate.Limiter{},
	}
}

// quota is where a team stands after a call was counted.
type quota struct {
	ok        bool
	hidden    bool // refused by the bucket, of which nothing is said
	total     int  // 0: there is no published limit
	remaining int
	reset     time.Time
}

// take counts one call. A refused call is not counted.
func (l *limiter) take(team string, now time.Time) quota {
	if l.limit == 0 && l.rate == 0 {
		return quota{ok: true}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate > 0 {
		b := l.buckets[team]
		if b == nil {
			b = rate.NewLimiter(rate.Limit(l.rate), l.burst)
			l.buckets[team] = b
		}
		if !b.AllowN(now, 1) {
			return quota{hidden: true}
		}
	}
	if l.limit == 0 {
		return quota{ok: true}
	}
	w := l.windows[team]
	if w == nil {
		w = &window{}
		l.windows[team] = w
	}
	// A clock that jumps back does not open a window anew.
	if start := now.Truncate(l.window); start.After(w.start) {
		*w = window{start: start}
	}
	ok := w.used < l.limit
	if ok {
		w.used++
	}
	return quota{ok: ok, total: l.limit, remaining: l.limit - w.used, reset: w.start.Add(l.window)}
}

// headers sets what every answer to an import call says of the limit.
func (l *limiter) headers(h http.Header, q quota, now time.Time) {
	if q.total == 0 || q.hidden || l.tell&TellHeaders == 0 || l.tell&TellNothing != 0 {
		return
	}
	h.Set("X-RateLimit-Limit", strconv.Itoa(q.total))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(q.remaining))
	h.Set("X-RateLimit-Reset", strconv.FormatInt(l.seconds(q, now), 10))
}

// refuse sets the Retry-After of a 429 and returns its body.
func (l *limiter) refuse(h http.Header, q quota, now time.Time) errorBody {
	body := errorBody{Error: errorWords{
		Code:    statusCode(http.StatusTooManyRequests),
		Message: "Rate limit exceeded, try again later.",
	}}
	if q.hidden || l.tell&TellNothing != 0 {
		return body
	}
	wait := q.reset.Sub(now)
	switch {
	case l.tell&TellRetryAfterZero != 0:
		h.Set("Retry-After", "0")
	case l.tell&TellRetryAfterDate != 0:
		h.Set("Retry-After", ceil(q.reset).UTC().Format(http.TimeFormat))
	case l.tell&TellRetryAfter != 0:
		h.Set("Retry-After", strconv.FormatInt(wholeSeconds(wait), 10))
	}
	if l.tell&(TellReset|TellResetMs) == 0 {
		return body
	}
	said := &limitWords{Remaining: q.remaining, Total: q.total}
	if l.tell&TellReset != 0 {
		s := l.seconds(q, now)
		said.Reset = &s
	}
	if l.tell&TellResetMs != 0 {
		ms := q.reset.UnixMilli()
		if l.tell&TellDurations != 0 {
			ms = wait.Milliseconds()
		}
		said.ResetMs = &ms
	}
	if l.tell&TellOldBody != 0 {
		body.Error.Code, body.Limit = "too_many_requests", said
	} else {
		body.Error.Limit = said
	}
	return body
}

func (l *limiter) seconds(q quota, now time.Time) int64 {
	if l.tell&TellDurations != 0 {
		return wholeSeconds(q.reset.Sub(now))
	}
	return ceil(q.reset).Unix()
}

func wholeSeconds(d time.Duration) int64 { return int64(math.Ceil(d.Seconds())) }

// ceil rounds up to a whole second.
func ceil(t time.Time) time.Time {
	if down := t.Truncate(time.Second); down.Before(t) {
		return down.Add(time.Second)
	}
	return t
}

// errorBody is the documented body of an error.
type errorBody struct {
	Error errorWords  `json:"error"`
	Limit *limitWords `json:"limit,omitempty"`
}

type errorWords struct {
	Code    string      `json:"code"`
	Message string      `json:"message"`
	Limit   *limitWords `json:"limit,omitempty"`
}

type limitWords struct {
	Remaining int    `json:"remaining"`
	Reset     *int64 `json:"reset,omitempty"`
	ResetMs   *int64 `json:"resetMs,omitempty"`
	Total     int    `json:"total"`
}
