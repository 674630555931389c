package migrate

import (
	"testing"
	"time"
)

func TestHealth_TellsAnOutageFromABadCall(t *testing.T) {
	t.Parallel()
	h := &health{limit: 10 * time.Minute}
	at := func(d time.Duration) time.Time { return noon.Add(d) }
	for _, step := range []struct {
		at   time.Duration
		down bool
	}{{0, false}, {time.Minute, false}, {10*time.Minute - time.Nanosecond, false}, {10 * time.Minute, true}, {time.Hour, true}} {
		if got := h.failed(at(step.at)); got != step.down {
			t.Errorf("unanswered since %v: got down %t, want %t", step.at, got, step.down)
		}
	}
	h.answered()
	if h.failed(at(2 * time.Hour)) {
		t.Error("an answer does not end the outage: the next failure is down at once")
	}
	if !h.failed(at(2*time.Hour + 10*time.Minute)) {
		t.Error("a second outage is not noticed")
	}
	if got := h.count(); got != 1 {
		t.Errorf("got %d answered calls, want 1", got)
	}
}

func TestHealth_WithoutPatienceTheFirstFailureIsDown(t *testing.T) {
	t.Parallel()
	if h := new(health); !h.failed(noon) {
		t.Error("got not down with a limit of 0, want down")
	}
}

func TestHealth_DelaysOnlyWhileUnanswered(t *testing.T) {
	t.Parallel()
	h := &health{limit: time.Hour}
	if got := h.delay(); got != 0 {
		t.Errorf("got a delay of %v before any call, want none", got)
	}
	for _, full := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		h.failed(noon)
		if got := h.delay(); got < full*time.Second/2 || got > full*time.Second {
			t.Errorf("got a delay of %v, want %v to %v", got, full*time.Second/2, full*time.Second)
		}
	}
	h.answered()
	if got := h.delay(); got != 0 {
		t.Errorf("got a delay of %v after an answer, want none", got)
	}
}

// opens feeds a breaker and returns after how many tokens it first opened; 0:
// it did not.
func opens(share float64, refused func(n int) bool, tokens int) int {
	b := &breaker{share: share}
	first := 0
	for n := 1; n <= tokens; n++ {
		if b.judged(refused(n)) && first == 0 {
			first = n
		}
	}
	return first
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	always := func(int) bool { return true }
	upTo := func(m int) func(int) bool { return func(n int) bool { return n <= m } }
	every := func(m int) func(int) bool { return func(n int) bool { return n%m == 0 } }
	from := func(m int) func(int) bool { return func(n int) bool { return n > m } }
	for _, c := range []struct {
		name    string
		share   float64
		refused func(int) bool
		tokens  int
		want    int
	}{
		{"49 judged say nothing", 0.2, always, 49, 0},
		{"50 judged do", 0.2, always, 50, 50},
		{"24 failures say nothing", 0.2, upTo(24), 1000, 0},
		{"25 failures do", 0.2, upTo(25), 1000, 50},
		{"the share's edge: 20 % of 125", 0.2, from(100), 1000, 125},
		{"a fifth, evenly: from the 25th failure on", 0.2, every(5), 5000, 125},
		{"a sixth, evenly", 0.2, every(6), 5000, 0},
		{"share 1: all must be refused", 1, from(1), 900, 0},
		{"share 1: and all are", 1, always, 900, 50},
		{"share 0: 25 failures are enough", 0, from(800), 900, 825},
		// Of the last 1000 only: 199 old failures have slid out when the next come.
		{"old failures slide out", 0.2, func(n int) bool { return n > 1000 && n <= 1199 || n > 2199 && n <= 2398 }, 5000, 0},
		{"200 of the last 1000", 0.2, from(1000), 5000, 1200},
		{"200 of the last 1000, with 199 that slid out before", 0.2, func(n int) bool { return n > 1000 && n <= 1199 || n > 2199 }, 5000, 2399},
	} {
		if got := opens(c.share, c.refused, c.tokens); got != c.want {
			t.Errorf("%s: opened at token %d, want %d", c.name, got, c.want)
		}
	}
}
