package migrate

import (
	"fmt"
	"maps"
	"sync"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/report"
)

// The two outcomes that need no row in the checkpoint.
const (
	unchanged checkpoint.Outcome = "unchanged"
	pending   checkpoint.Outcome = "pending"
)

// place is where a token goes.
type place = report.Place

// standing is how a row is counted. The zero standing is not counted.
type standing struct {
	outcome checkpoint.Outcome
	reason  string
}

// move takes rows from one standing to another.
type move struct {
	place    place
	from, to standing
	rows     int64
}

// moves are moves in their order. Rows that move alike one after the other, as nearly
// all of a page or a call do, are one of them.
type moves []move

// add adds the move of one row.
func (m *moves) add(at place, from, to standing) {
	if n := len(*m); n > 0 {
		if last := &(*m)[n-1]; last.place == at && last.from == from && last.to == to {
			last.rows++
			return
		}
	}
	*m = append(*m, move{at, from, to, 1})
}

// ledger counts the rows of one walk and the calls of the whole run. It is safe
// for concurrent use.
type ledger struct {
	mu       sync.Mutex
	tally    report.Tally  // of the walk that is under way
	complete *report.Tally // of the last walk that was completed
	calls    report.Calls
}

// apply counts moves; with back it undoes them.
func (l *ledger) apply(moves moves, back bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range moves {
		from, to := m.from, m.to
		if back {
			from, to = to, from
		}
		c := l.tally.At(m.place)
		count(c, &l.tally, from, -m.rows)
		count(c, &l.tally, to, m.rows)
	}
}

func count(c *report.Counts, t *report.Tally, s standing, n int64) {
	switch s.outcome {
	case "":
		return
	case checkpoint.Imported:
		c.Imported += n
	case unchanged:
		c.Unchanged += n
	case checkpoint.Failed:
		c.Failed += n
	case checkpoint.Invalid:
		c.Invalid += n
	case checkpoint.Skipped:
		c.Skipped += n
	case checkpoint.Unknown:
		c.Unknown += n
	case pending:
		c.Pending += n
	default:
		panic("a row cannot be counted as " + string(s.outcome))
	}
	c.Read += n
	t.Reason(s.reason, n)
}

// wire changes the counts of calls.
func (l *ledger) wire(change func(c *report.Calls)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.calls)
}

// waited adds seconds to a cause of waiting.
func (l *ledger) waited(cause string, seconds float64) {
	l.wire(func(c *report.Calls) {
		if c.WaitedSeconds == nil {
			c.WaitedSeconds = make(map[string]float64)
		}
		c.WaitedSeconds[cause] += seconds
	})
}

// endWalk closes the walk's counts, if the walk was completed. It fails where
// they do not add up to the rows that the walk took from the source, which would
// be a bug that loses rows.
func (l *ledger) endWalk(rows int64, completed bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	done := l.tally
	c := done.Counts()
	if c.Read != rows || c.Sum() != rows {
		return fmt.Errorf("the counts do not add up: %d rows read, %d counted, %d with an outcome; this is a bug, nothing is lost, the checkpoint holds what was imported", rows, c.Read, c.Sum())
	}
	if completed {
		l.complete, l.tally = &done, report.Tally{}
	}
	return nil
}

// walked reports whether a walk was completed.
func (l *ledger) walked() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.complete != nil
}

// current returns the counts that speak for the run: of the last walk that was
// completed, or of the first while none was.
func (l *ledger) current() (report.Tally, report.Calls) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := &l.tally
	if l.complete != nil {
		from = l.complete
	}
	t := report.Tally{Reasons: maps.Clone(from.Reasons), Connectors: make(map[place]*report.Counts, len(from.Connectors))}
	for p, c := range from.Connectors {
		copied := *c
		t.Connectors[p] = &copied
	}
	calls := l.calls
	calls.WaitedSeconds = maps.Clone(l.calls.WaitedSeconds)
	if calls.WaitedSeconds == nil {
		calls.WaitedSeconds = map[string]float64{}
	}
	return t, calls
}

// counts returns the part of what the runs table keeps that is counted here.
func (l *ledger) counts() report.RunCounts {
	var r report.Report
	tally, calls := l.current()
	tally.Fill(&r)
	return report.RunCounts{Counts: r.Counts, Reasons: r.Reasons, Connectors: r.Connectors, Calls: calls}
}
