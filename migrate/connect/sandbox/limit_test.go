package sandbox

import (
	"encoding/json"
	"strconv"
	"sync"
	"testing"
	"time"
)

// clock is a clock that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// quarterPast is 14.5 s into a minute.
var quarterPast = time.Date(2026, 9, 1, 12, 0, 14, 500_000_000, time.UTC)

func TestServer_LimitsInFixedWindows(t *testing.T) {
	c := &clock{now: quarterPast}
	s, url := start(t, Options{Limit: 3, Now: c.Now})
	reset := strconv.FormatInt(time.Date(2026, 9, 1, 12, 1, 0, 0, time.UTC).Unix(), 10)
	for i, want := range []int{200, 200, 200, 429, 429} {
		r := post(t, url, toks(1))
		if r.status != want {
			t.Fatalf("call %d: got %d, want %d", i, r.status, want)
		}
		h := r.header
		if h.Get("X-RateLimit-Limit") != "3" || h.Get("X-RateLimit-Remaining") != strconv.Itoa(max(0, 2-i)) || h.Get("X-RateLimit-Reset") != reset {
			t.Errorf("call %d: got headers %v", i, h)
		}
		if got := h.Get("Date"); got != "Tue, 01 Sep 2026 12:00:14 GMT" {
			t.Errorf("call %d: got Date %s, want the sandbox's clock", i, got)
		}
		if want == 429 {
			const body = `{"error":{"code":"rate_limited","message":"Rate limit exceeded, try again later.",` +
				`"limit":{"remaining":0,"reset":1788264060,"resetMs":1788264060000,"total":3}}}`
			if r.text != body || h.Get("Retry-After") != "46" {
				t.Errorf("got Retry-After %q, body %s\nwant 46 and %s", h.Get("Retry-After"), r.text, body)
			}
		}
	}
	if r := send(t, "POST", url+slackPath+"?teamId=other", toks(1)); r.status != 200 {
		t.Errorf("another team: got %d, want 200", r.status)
	}
	c.add(45*time.Second + 499*time.Millisecond)
	if r := post(t, url, toks(1)); r.status != 429 || r.header.Get("Retry-After") != "1" {
		t.Errorf("1 ms before the window's end: got %d, %s", r.status, r.header.Get("Retry-After"))
	}
	c.add(time.Millisecond)
	if r := post(t, url, toks(1)); r.status != 200 {
		t.Errorf("in the next window: got %d, want 200", r.status)
	}
	c.add(-time.Minute)
	if r := post(t, url, toks(1)); r.status != 200 || r.header.Get("X-RateLimit-Remaining") != "1" {
		t.Errorf("after the clock jumped back: got %d with %s remaining, want the window to go on", r.status, r.header.Get("X-RateLimit-Remaining"))
	}
	if sum := s.Summary(); sum.Statuses["429"] != 3 || sum.Imports != 6 {
		t.Errorf("got %+v, want 3 refused calls that imported nothing", sum)
	}
	if got := s.Audit().Calls[4]; got.Admitted != 0 || len(got.Tokens) != 0 {
		t.Errorf("got %+v, want a refused call to be no admitted one", got)
	}
}

func TestServer_TellsTheWait(t *testing.T) {
	for _, c := range []struct {
		name               string
		tell               Tell
		retryAfter, header string
		code               string
		limit, old         string // JSON of error.limit and of limit
	}{
		{"Retry-After", TellRetryAfter, "46", "", "rate_limited", "", ""},
		{"Retry-After zero", TellRetryAfterZero, "0", "", "rate_limited", "", ""},
		{"Retry-After date", TellRetryAfterDate, "Tue, 01 Sep 2026 12:01:00 GMT", "", "rate_limited", "", ""},
		{"reset", TellReset, "", "", "rate_limited", `{"remaining":0,"reset":1788264060,"total":1}`, ""},
		{"resetMs", TellResetMs, "", "", "rate_limited", `{"remaining":0,"resetMs":1788264060000,"total":1}`, ""},
		{"headers", TellHeaders, "", "1788264060", "rate_limited", "", ""},
		{"durations", TellHeaders | TellReset | TellResetMs | TellDurations, "", "46", "rate_limited", `{"remaining":0,"reset":46,"resetMs":45500,"total":1}`, ""},
		{"old body", TellResetMs | TellOldBody, "", "", "too_many_requests", "", `{"remaining":0,"resetMs":1788264060000,"total":1}`},
		{"nothing", TellNothing, "", "", "rate_limited", "", ""},
		{"nothing wins", TellNothing | TellDocumented, "", "", "rate_limited", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			clk := &clock{now: quarterPast}
			_, url := start(t, Options{Limit: 1, Tell: c.tell, Now: clk.Now})
			post(t, url, toks(1)).answer(t)
			r := post(t, url, toks(1))
			var e struct {
				Error struct {
					Code  string
					Limit json.RawMessage
				}
				Limit json.RawMessage
			}
			if err := json.Unmarshal([]byte(r.text), &e); r.status != 429 || err != nil {
				t.Fatalf("got %d, %v", r.status, err)
			}
			got := []string{r.header.Get("Retry-After"), r.header.Get("X-RateLimit-Reset"), e.Error.Code, string(e.Error.Limit), string(e.Limit)}
			want := []string{c.retryAfter, c.header, c.code, c.limit, c.old}
			for i := range got {
				if got[i] != want[i] {
					t.Errorf("got %q\nwant %q", got, want)
					break
				}
			}
		})
	}
}

func TestServer_HiddenBucket(t *testing.T) {
	clk := &clock{now: quarterPast}
	_, url := start(t, Options{BucketPerSecond: 4, BucketBurst: 2, Limit: 100, Now: clk.Now})
	for i, want := range []int{200, 200, 429, 429} {
		r := post(t, url, toks(1))
		if r.status != want {
			t.Errorf("call %d: got %d, want %d", i, r.status, want)
		}
		if want == 429 && (r.header.Get("Retry-After")+r.header.Get("X-RateLimit-Limit") != "" || len(r.text) > 100) {
			t.Errorf("the bucket tells: %v %s", r.header, r.text)
		}
	}
	clk.add(250 * time.Millisecond)
	for i, want := range []int{200, 429} {
		if r := post(t, url, toks(1)); r.status != want {
			t.Errorf("a quarter second later, call %d: got %d, want %d", i, r.status, want)
		}
	}
	if got := post(t, url, toks(1)).code(t); got != "rate_limited" {
		t.Errorf("got code %q", got)
	}
	for rate, want := range map[float64]int{0.5: 1, 4: 4, 2.5: 3} {
		if got := (Options{BucketPerSecond: rate}).withDefaults().BucketBurst; got != want {
			t.Errorf("burst of %v a second: got %d, want %d", rate, got, want)
		}
	}
}
