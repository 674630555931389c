package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// StatusOptions is how a status is written.
type StatusOptions struct {
	Color bool      // for a terminal whose user has nothing against it
	Now   time.Time // for how long ago things were
	// Most is how many lines each of the tables has at most, so that all fits on one
	// screen; 0: as many as there are.
	Most int
}

// WriteStatus writes where a migration stands, for somebody who looks in on it:
// done and left, pace and time left, what it waits for and the last error, then
// each connector and each shard. It is for reports that have Runs.
func (r *Report) WriteStatus(w io.Writer, o StatusOptions) error {
	t := &text{color: o.Color}
	v := r.Verdict()
	t.line("%s: %s", sentence(r.subject()), t.paint(levelColors[v.Level], printable(v.Sentence)))
	t.line("")
	r.statusLines(t)
	t.line("")
	shown := *r
	if o.Most > 0 && len(r.Connectors) > o.Most {
		shown.Connectors = slices.Clone(r.Connectors)
		slices.SortStableFunc(shown.Connectors, func(a, b Connector) int { return cmp.Compare(b.Read, a.Read) })
		shown.Connectors = shown.Connectors[:o.Most]
	}
	shown.Remaining, shown.Totals = Remaining{}, nil // told above; not read
	shown.textCounts(t)
	if n := len(r.Connectors) - len(shown.Connectors); n > 0 {
		t.line("and %s with fewer rows", count(int64(n), "connector"))
	}
	if n, why := r.standsInTheWay(); n > 0 {
		t.line("not imported: %s", why)
	}
	t.line("")
	r.statusShards(t, o)
	_, err := io.WriteString(w, t.b.String())
	return err
}

// statusLines writes what belongs to the migration as a whole.
func (r *Report) statusLines(t *text) {
	line := func(name, format string, args ...any) {
		t.line("%s %s", t.paint(bold, fmt.Sprintf("%-11s", name)), printable(fmt.Sprintf(format, args...)))
	}
	c := r.Counts
	done, left := c.Read-c.Pending, r.Remaining.Rows+c.Pending
	about := ""
	if r.Remaining.Estimated {
		about = "about "
	}
	again := r.checkingAgain()
	switch {
	case r.unread():
		line("done", "nothing was read yet")
	case again == "":
		line("done", "%s of %s%s %s", number(done), about, count(done+left, "row"), meter(done, done+left))
	default: // which is not the whole: no meter
		line("done", "%s of %s%s in the first walk", number(done), about, count(done+left, "row"))
	}
	switch seconds := r.SecondsLeft(); {
	case r.unread():
		line("left", "not known yet")
	case left == 0 && again != "":
		line("left", "%s", again)
	case left == 0 && r.running():
		line("left", "nothing of this walk; the next may find changed tokens")
	case left == 0:
		line("left", "nothing")
	case !r.running():
		line("left", "%s%s", about, count(left, "row"))
	case seconds > 0:
		line("left", "%s%s, about %s", about, count(left, "row"), duration(seconds))
	case r.heldUp():
		line("left", "%s%s; how long that takes is not known while it waits", about, count(left, "row"))
	default:
		line("left", "%s%s; how long that takes is not known yet", about, count(left, "row"))
	}
	if r.Pace.RequestsPerMinute > 0 {
		now := ""
		if r.running() && r.Pace.Current > 0 && r.Pace.Current != r.Pace.RequestsPerMinute {
			now = ", now " + decimal(r.Pace.Current)
		}
		line("pace", "%s calls a minute%s; %s made, %s throttled", decimal(r.Pace.RequestsPerMinute), now, count(r.Calls.Made, "call"), number(r.Calls.Throttled))
	}
	if r.running() {
		line("waiting for", "%s", cmp.Or(r.Pace.Waiting, "nothing"))
	}
	if r.Paused {
		line("paused", "%s", pausedWords)
	}
	if r.InDoubt != nil {
		line("in doubt", "%s", r.InDoubt.words())
	}
	if last := r.lastError(); last != "" {
		line("last error", "%s", last)
	}
}

// running reports whether a shard's worker is alive.
func (r *Report) running() bool {
	return slices.ContainsFunc(r.Runs, func(s RunState) bool { return s.State == Running })
}

// lastError returns the error of the run that ended last.
func (r *Report) lastError() string {
	var last *RunState
	for i := range r.Runs {
		if s := &r.Runs[i]; s.LastError != "" && (last == nil || s.HeartbeatAt.After(last.HeartbeatAt)) {
			last = s
		}
	}
	switch {
	case last == nil:
		return ""
	case r.inShards():
		return fmt.Sprintf("shard %d: %s", last.Shard, last.LastError)
	}
	return last.LastError
}

func (r *Report) statusShards(t *text, o StatusOptions) {
	runs := r.neediest(o.Most)
	table := newTable(1, "shard", "run", "done", "left", "state", "since", "heard of", "waiting for")
	table.left = 4
	for _, s := range runs {
		run, since, heard := strconv.FormatInt(s.Run, 10), s.StartedAt, ago(o.Now, s.HeartbeatAt)
		if s.FinishedAt != nil {
			since = *s.FinishedAt
		}
		at := since.UTC().Format("2006-01-02 15:04:05")
		if s.State == Missing {
			run, at, heard = "-", "-", "never"
		}
		table.row(strconv.Itoa(s.Shard), run, number(s.Done), number(s.Left), s.stateWords(), at, heard, s.Waiting)
	}
	if len(r.Runs) > 1 {
		done, left := r.doneAndLeft()
		table.row("all", "", number(done), number(left), "", "", "", "")
	}
	table.print(t)
	if n := len(r.Runs) - len(runs); n > 0 {
		t.line("and %s more", count(int64(n), "shard"))
	}
}

// ago writes how long ago something was.
func ago(now, at time.Time) string {
	d := now.Sub(at)
	if d < time.Second { // also where the clocks differ
		return "now"
	}
	return duration(d.Seconds()) + " ago"
}

// meter draws a share: [#####-----] 50%. Short of the whole it is never full.
func meter(part, whole int64) string {
	const width = 20
	if whole <= 0 {
		return ""
	}
	full := min(max(int(part*width/whole), 0), width)
	return fmt.Sprintf("[%s%s] %d%%", strings.Repeat("#", full), strings.Repeat("-", width-full), part*100/whole)
}
