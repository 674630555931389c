package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/connect"
	"tokenmigrate/migrate/report"
)

// Watch is a window on one run or dry run, for those who look on: the live page,
// the metrics, a progress bar. The zero Watch is ready; it is given to New in
// Options and may be looked through before, while and after that runs. It is
// safe for concurrent use.
type Watch struct {
	mu          sync.Mutex
	pass        *pass          // once the work has begun
	over        *report.Report // once it is over
	begun       *report.Report // its beginning; nil before
	waiting     string         // before the work begins
	lastSuccess time.Time
	contacts    map[string]contact
	calls       []func(Call)
}

// contact is what is known of a database: when it last answered, and whether the
// last attempt failed.
type contact struct {
	at   time.Time
	away bool
}

// The databases that contacts are with.
const (
	theSource     = "source database"
	theCheckpoint = "checkpoint database"
	eitherOne     = "database"
)

// Call is one import call, as it was made.
type Call struct {
	Tokens int
	// Answer is an HTTP status that design names (400, 429, ...), else its class
	// (2xx, 4xx, ...); where no answer came: timeout, cancelled, unreadable,
	// connection, or not_sent for a call that was certainly not made.
	Answer string
	Took   time.Duration
}

// OnCall has do called after each import call, from the goroutine that made it;
// do must be quick.
func (w *Watch) OnCall(do func(Call)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, do)
}

// Now is how a run stands at one moment.
type Now struct {
	// Report is the account so far. Until the run is over it lists no failures; it
	// never holds subject ids. It must not be changed.
	Report *report.Report
	Begun  bool // false: not yet, the rest is empty
	Over   bool

	Total     int64 // rows of the source
	Estimated bool  // Total is an estimate: no walk has come to the end yet
	// Waiting is what nobody can go on for, one of WaitCauses; empty: nothing.
	Waiting string
	// Ahead is how many rows are read and not sent yet, OldestSent how long ago the
	// oldest row was read that is with a sender; 0: none is.
	Ahead      int64
	OldestSent time.Duration

	// LeaseHeld tells that calls may be made; LeaseAge how long ago the lease was
	// renewed, LeaseLeft how long it holds unless renewed. A dry run has none.
	LeaseHeld           bool
	LeaseAge, LeaseLeft time.Duration

	LastSuccess  time.Time // when an import was last recorded; zero: never
	LastProgress time.Time // when anything last moved, or was knowingly waited for; zero: not yet

	trouble []string
}

// WaitCauses are the values of Now.Waiting.
func WaitCauses() []string {
	return []string{"pace", "throttled", "paused", "lease", "endpoint", "credential", "calls_in_doubt", "source_database", "checkpoint_database", "database"}
}

// Ready tells whether the work can go on: the shard's lease is held, and source
// and checkpoint answered when they were last asked, the checkpoint lately.
//
// Errors: one that says in words what is missing.
func (n *Now) Ready() error {
	if len(n.trouble) == 0 {
		return nil
	}
	return errors.New(strings.Join(n.trouble, "; "))
}

// lately is how long ago a checkpoint that runs and steers may have answered:
// it is asked every steerEvery.
const lately = 30 * time.Second

// Now returns how the run stands.
func (w *Watch) Now() Now {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := Now{LastSuccess: w.lastSuccess, Waiting: WaitCause(w.waiting), Begun: w.begun != nil, Over: w.over != nil, Report: w.over}
	if w.begun == nil {
		n.Report = report.New("", "run")
		n.trouble = []string{"it has not begun"}
		return n
	}
	p := w.pass
	if p == nil {
		if n.Report == nil {
			start := *w.begun
			start.Pace.Waiting = w.waiting
			n.Report = &start
		}
		n.trouble = append(n.trouble, strings.TrimSuffix("it has not begun to read, waiting for: "+w.waiting, ", waiting for: "))
		return n
	}
	if n.Report == nil {
		r := *w.begun
		if p.run != 0 {
			r.StartedAt = p.samples.started.UTC()
		}
		p.account(&r, false)
		if r.Pace.Waiting = p.waitingFor(); r.Mode == "dry-run" {
			r.Pace.Waiting = p.wait.what()
		}
		n.Report = &r
		n.Waiting = WaitCause(r.Pace.Waiting)
	}
	rows, estimated := p.rowsInAll()
	n.Total, n.Estimated = max(rows, n.Report.Counts.Read), estimated
	n.Ahead = p.ahead()
	n.OldestSent = p.sending.oldest(p.now())
	if at := p.lastMoved.Load(); at != 0 {
		n.LastProgress = time.Unix(0, at)
	}
	w.ready(&n, p)
	return n
}

// ready fills in the lease, and what keeps the work from going on.
func (w *Watch) ready(n *Now, p *pass) {
	if p.tenure != nil {
		n.LeaseHeld, n.LeaseAge, n.LeaseLeft = p.tenure.state()
		if !n.LeaseHeld {
			n.trouble = append(n.trouble, "the lease has lapsed and cannot be renewed")
		}
	}
	for _, name := range []string{theSource, theCheckpoint} {
		c, asked := w.contacts[name]
		switch {
		case name == theCheckpoint && p.store == nil:
		case c.away:
			n.trouble = append(n.trouble, "the "+name+" is away")
		case !asked && name == theSource:
			n.trouble = append(n.trouble, "the "+name+" was not reached yet")
		case asked && name == theCheckpoint && p.tenure != nil && p.now().Sub(c.at) > lately:
			n.trouble = append(n.trouble, fmt.Sprintf("the %s did not answer for %s", name, p.now().Sub(c.at).Round(time.Second)))
		}
	}
	if n.Over {
		n.trouble = append(n.trouble, "it is over")
	}
}

// WaitCause makes one of WaitCauses of the words of report.Pace and report.Calls:
// "source database" becomes source_database.
func WaitCause(words string) string {
	for _, cause := range []string{"paused", "throttled"} {
		if strings.HasPrefix(words, cause) {
			return cause
		}
	}
	return strings.ReplaceAll(words, " ", "_")
}

// begin notes that a run begins, with its still empty report.
func (w *Watch) begin(r *report.Report) {
	first := report.New(r.Migration, r.Mode) // r's own lists and maps go on changing
	first.StartedAt, first.Shards, first.Shard = r.StartedAt, r.Shards, r.Shard
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begun = first
}

// dry reports whether it is a dry run.
func (w *Watch) dry() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.begun != nil && w.begun.Mode == "dry-run"
}

// attach lets the work itself be seen.
func (w *Watch) attach(p *pass) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pass, w.waiting = p, ""
}

// waits notes what is waited for before the work begins. Nobody looks through a
// nil Watch.
func (w *Watch) waits(what string) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = what
}

// end notes the report that a run ended with, but for subject ids.
func (w *Watch) end(r *report.Report) {
	last := *r
	last.Failures = slices.Clone(r.Failures)
	for i := range last.Failures {
		last.Failures[i].Subject = ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = &last
}

// succeeded notes that an import was recorded.
func (w *Watch) succeeded(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lastSuccess = at
}

// heard notes whether a database answered.
func (w *Watch) heard(name string, answered bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.contacts == nil {
		w.contacts = make(map[string]contact)
	}
	names := []string{name}
	if name == eitherOne { // which of both is not known: the one that is away, or both are there
		names = []string{theSource, theCheckpoint}
	}
	for _, name := range names {
		c := w.contacts[name]
		if c.away = !answered; answered {
			c.at = time.Now()
		}
		w.contacts[name] = c
	}
}

// called tells those who want to know of a call.
func (w *Watch) called(c Call) {
	w.mu.Lock()
	calls := w.calls
	w.mu.Unlock()
	for _, do := range calls {
		do(c)
	}
}

// answerLabel names an answer in few words: see Call.Answer.
func answerLabel(status string, err error) string {
	var lost *connect.LostError
	if code, _ := strconv.Atoi(status); code > 0 {
		switch code {
		case 400, 401, 402, 403, 404, 405, 408, 409, 410, 413, 422, 425, 429, 500, 502, 503, 504:
			return status
		}
		return status[:1] + "xx"
	}
	switch {
	case err == nil: // 2xx
		return status
	case status == "not sent":
		return "not_sent"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.As(err, &lost) && strings.HasPrefix(lost.What, "the answer"):
		return "unreadable"
	}
	return "connection"
}

// inHand knows when the rows were read that senders are at work on. The zero
// inHand is empty. It is safe for concurrent use.
type inHand struct {
	mu   sync.Mutex
	read map[*chunk]time.Time
}

// take notes a chunk until the returned function is called.
func (h *inHand) take(c *chunk) (done func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.read == nil {
		h.read = make(map[*chunk]time.Time)
	}
	h.read[c] = c.oldest
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.read, c)
	}
}

// oldest returns how long ago the oldest row was read; 0: there is none.
func (h *inHand) oldest(now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	var age time.Duration
	for _, at := range h.read {
		age = max(age, now.Sub(at))
	}
	return age
}

// waiting returns how many rows of the walk that is under way are pending.
func (l *ledger) waiting() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tally.Counts().Pending
}

// state returns whether the lease is held, how long ago it was renewed and how
// long it lasts.
func (t *tenure) state() (held bool, age, left time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	left = t.until.Sub(t.now())
	return left > 0, checkpoint.LeaseTTL - left, max(left, 0)
}
