package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Level is how a report is to be taken, for its colour.
type Level string

// The levels.
const (
	Good Level = "good" // go ahead, or all is done
	Mind Level = "mind" // go ahead, or done, and something is left behind
	Bad  Level = "bad"  // do not go ahead, or it did not end well
	Busy Level = "busy" // under way
)

// Verdict is a report in one sentence.
type Verdict struct {
	Level Level
	// Sentence says of a dry run whether to go ahead and what stands in the way,
	// and of a run how it ended and what is missing.
	Sentence string
}

// Sentence returns the verdict's sentence.
func (r *Report) Sentence() string { return r.Verdict().Sentence }

// Verdict judges the report. That more tokens are not imported than the policy
// allows is known from ExitCode, 3.
func (r *Report) Verdict() Verdict {
	v := r.runVerdict
	if r.Mode == "dry-run" {
		v = r.dryVerdict
	}
	verdict := v()
	if alone := r.onlyShard(); alone != "" {
		if !strings.HasSuffix(verdict.Sentence, ".") && !strings.HasSuffix(verdict.Sentence, "?") { // an error's words
			verdict.Sentence += "."
		}
		verdict.Sentence += alone
	}
	return verdict
}

func (r *Report) dryVerdict() Verdict {
	c := r.Counts
	bad, why := r.standsInTheWay()
	switch {
	case r.StoppedBy == "error":
		return Verdict{Bad, "Not yet: the dry run was stopped by an error: " + r.Error}
	case r.StoppedBy == "signal":
		return Verdict{Bad, fmt.Sprintf("Not known yet: the dry run was stopped by a signal after %s; run it again.", count(c.Read, "row"))}
	case r.FinishedAt == nil:
		return Verdict{Busy, fmt.Sprintf("The dry run is under way, %s of about %s rows judged.", number(c.Read), number(c.Read+r.Remaining.Rows))}
	case c.Read == 0:
		return Verdict{Bad, "Not yet: the source has no rows. Is this the right query, and may the role see its rows?"}
	}
	send := fmt.Sprintf("%s of %s would be sent in %s, taking about %s", number(c.Pending), count(c.Read, "row"),
		count(r.Projection.Calls, "call"), duration(r.Projection.Seconds))
	if c.Pending == 0 {
		send = fmt.Sprintf("nothing would be sent; %s of %s are imported already", number(c.Unchanged), count(c.Read, "row"))
	}
	if r.StoppedBy == "limit" {
		send += ", as --limit asks"
	}
	dying := r.dying()
	switch {
	case r.ExitCode != nil && *r.ExitCode != 0 && bad > 0 && dying > 0:
		return Verdict{Bad, fmt.Sprintf("Not yet: %s cannot be imported (%s), more than policy.max_failed allows, and %s may die before being sent; %s.", count(bad, "row"), why, count(dying, "token"), send)}
	case r.ExitCode != nil && *r.ExitCode != 0 && bad > 0:
		return Verdict{Bad, fmt.Sprintf("Not yet: %s cannot be imported (%s), more than policy.max_failed allows; %s.", count(bad, "row"), why, send)}
	case r.ExitCode != nil && *r.ExitCode != 0:
		return Verdict{Bad, "Not yet: " + cmp.Or(r.Error, fmt.Sprintf("a run would end with exit code %d", *r.ExitCode)) + "."}
	case bad > 0 && c.Pending == 0:
		return Verdict{Mind, fmt.Sprintf("Nothing is left to do but %s that cannot be imported (%s): %s.", count(bad, "row"), why, send)}
	case bad > 0 && dying > 0:
		return Verdict{Mind, fmt.Sprintf("Go ahead, knowing that %s cannot be imported (%s) and that %s may die before being sent: %s.", count(bad, "row"), why, count(dying, "token"), send)}
	case bad > 0:
		return Verdict{Mind, fmt.Sprintf("Go ahead, knowing that %s cannot be imported (%s): %s.", count(bad, "row"), why, send)}
	case c.Pending == 0:
		return Verdict{Good, fmt.Sprintf("Nothing is left to do: %s.", send)}
	case dying > 0:
		return Verdict{Mind, fmt.Sprintf("Go ahead, but soon, since %s may die before being sent: %s.", count(dying, "token"), send)}
	}
	return Verdict{Good, fmt.Sprintf("Go ahead: %s; nothing stands in the way.", send)}
}

// dying returns how many tokens without refresh token expire while a run would
// be under way.
func (r *Report) dying() int64 {
	for _, e := range r.Expiry {
		if e.UpTo == "run" {
			return e.WithoutRefresh
		}
	}
	return 0
}

func (r *Report) runVerdict() Verdict {
	c := r.Counts
	bad, why := r.standsInTheWay()
	done := fmt.Sprintf("%s imported now, %s before", number(c.Imported), number(c.Unchanged))
	switch {
	case r.FinishedAt == nil && r.StoppedBy == "":
		if trouble := r.ShardTrouble(); trouble != "" {
			return Verdict{Mind, strings.TrimSuffix(r.underWay(), ".") + "; but " + trouble + "."}
		}
		return Verdict{Busy, r.underWay()}
	case r.StoppedBy == "error" && r.FinishedAt == nil:
		return Verdict{Bad, fmt.Sprintf("%s of about %s done%s; %s.", number(c.Read-c.Pending), count(c.Read+r.Remaining.Rows, "row"), r.inWalk(), r.Error)}
	case r.StoppedBy == "error":
		return Verdict{Bad, "Stopped by an error: " + r.Error}
	case r.StoppedBy == "signal":
		return Verdict{Mind, fmt.Sprintf("Stopped by a signal with work left, %s imported; the same command goes on from here.", number(c.Imported))}
	case c.Read == 0:
		return Verdict{Bad, "The source has no rows. Is this the right query, and may the role see its rows?"}
	case r.ExitCode != nil && *r.ExitCode != 0 && *r.ExitCode != 3:
		return Verdict{Bad, fmt.Sprintf("Ended with exit code %d (%s): %s.", *r.ExitCode, cmp.Or(r.Error, "its error was not kept"), done)}
	case r.StoppedBy == "limit":
		return r.limitVerdict()
	case bad+c.Pending > 0:
		if c.Pending > 0 {
			why = strings.TrimPrefix(why+", "+number(c.Pending)+" pending", ", ")
		}
		v := Verdict{Mind, fmt.Sprintf("Finished, and %s not imported (%s): %s.", are(bad+c.Pending, "row"), why, done)}
		if r.ExitCode != nil && *r.ExitCode == 3 {
			v = Verdict{Bad, fmt.Sprintf("Finished, but %s not imported (%s), more than policy.max_failed allows: %s.", are(bad+c.Pending, "row"), why, done)}
		}
		return v
	}
	return Verdict{Good, "Done: " + done + ", none missing."}
}

// limitVerdict is of a run that --limit ended: what else is the matter must not
// be lost behind that.
func (r *Report) limitVerdict() Verdict {
	about := ""
	if r.Remaining.Estimated && r.Remaining.Rows > 0 {
		about = "about "
	}
	v := Verdict{Good, fmt.Sprintf("Reached its --limit: %s imported, %s%s left", number(r.Counts.Imported), about, number(r.Counts.Pending+r.Remaining.Rows))}
	if bad, why := r.standsInTheWay(); bad > 0 {
		v.Level = Mind
		v.Sentence += fmt.Sprintf("; %s not imported (%s)", are(bad, "row"), why)
	}
	if names := r.refusingWords(); names != "" {
		v.Level = Mind
		v.Sentence += "; " + names + " refuses calls"
	}
	if v.Level == Good {
		v.Sentence += "; run it without --limit for the rest."
	} else {
		v.Sentence += "; see why, before you run it without --limit for the rest."
	}
	return v
}

// refusing returns the connectors that refused calls, as the warnings have them.
func (r *Report) refusing() []string {
	var names []string
	for _, w := range r.Warnings {
		name, _, refuses := strings.Cut(w, " refuses,")
		if name, ok := strings.CutPrefix(name, "connector "); ok && refuses && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// refusingWords names what refuses: "connector a", "connector a (and 2 others)",
// or nothing.
func (r *Report) refusingWords() string {
	switch names := r.refusing(); len(names) {
	case 0:
		return ""
	case 1:
		return "connector " + names[0]
	case 2:
		return "connector " + names[0] + " (and one other)"
	default:
		return fmt.Sprintf("connector %s (and %s others)", names[0], number(int64(len(names)-1)))
	}
}

func (r *Report) underWay() string {
	c := r.Counts
	about := ""
	if r.Remaining.Estimated {
		about = "about "
	}
	text := fmt.Sprintf("Under way, %s of %s%s done%s", number(c.Read-c.Pending), about, count(c.Read+r.Remaining.Rows, "row"), r.inWalk())
	if r.unread() {
		text = "Under way; nothing was read yet"
	}
	if left := r.SecondsLeft(); left > 0 {
		text += ", about " + duration(left) + " left"
	}
	if r.heldUp() {
		text += "; waiting: " + r.Pace.Waiting
	}
	return text + "."
}

// unread reports whether a run that is under way has only begun, and knows neither
// rows nor how many there are.
func (r *Report) unread() bool {
	return r.FinishedAt == nil && r.StoppedBy == "" && r.Counts.Read == 0 && r.Remaining.Rows == 0
}

// inWalk returns what follows the rows done where those are not the whole.
func (r *Report) inWalk() string {
	if again := r.checkingAgain(); again != "" {
		return " in the first walk, " + again
	}
	return ""
}

// checkingAgain says that a later walk is under way, or was not finished; empty:
// the counts are the whole account.
func (r *Report) checkingAgain() string {
	if r.Walk == nil || r.FinishedAt != nil && r.StoppedBy == "" {
		return ""
	}
	return fmt.Sprintf("checking again (walk %d): %s left", r.Walk.Number, count(r.Walk.Open, "changed token"))
}

// SecondsLeft estimates how long a run still takes if all rows that are left are
// sent: the longer of two estimates. One is at the pace now, with as many tokens
// a call as so far, since rows that need no call go by at once; the other is from
// the newer half of the progress, since answers may be slower than the pace. 0:
// it cannot be told yet, or something holds the calls up, or nothing is left.
func (r *Report) SecondsLeft() float64 {
	rows := float64(r.Remaining.Rows + r.Counts.Pending)
	pace := cmp.Or(r.Pace.Current, r.Pace.RequestsPerMinute)
	if rows <= 0 || pace <= 0 || r.Calls.Made <= 0 || r.Calls.Tokens <= 0 || r.heldUp() {
		return 0
	}
	seconds := rows / (float64(r.Calls.Tokens) / float64(r.Calls.Made)) / pace * 60
	if n := len(r.Progress); n >= 2 {
		from, to := r.Progress[n/2-1], r.Progress[n-1]
		if to.Done > from.Done && to.Seconds > from.Seconds {
			seconds = max(seconds, rows/(float64(to.Done-from.Done)/(to.Seconds-from.Seconds)))
		}
	}
	return seconds
}

// heldUp reports whether the run waits for more than its turn.
func (r *Report) heldUp() bool { return r.Pace.Waiting != "" && r.Pace.Waiting != "pace" }

// standsInTheWay returns how many rows are not imported, those pending aside,
// and the three most frequent reasons in words: "15 duplicate, 3 unknown_provider".
func (r *Report) standsInTheWay() (rows int64, why string) {
	c := r.Counts
	rows = c.Failed + c.Invalid + c.Unknown
	bad := maps.Clone(r.Reasons)
	maps.DeleteFunc(bad, func(code string, n int64) bool { return n <= 0 || Explain(code).Outcome == "skipped" })
	codes := slices.SortedFunc(maps.Keys(bad), func(x, y string) int {
		return cmp.Or(cmp.Compare(bad[y], bad[x]), cmp.Compare(x, y))
	})
	var parts []string
	rest := rows
	for _, code := range codes[:min(len(codes), 3)] {
		parts = append(parts, number(bad[code])+" "+code)
		rest -= bad[code]
	}
	if rest > 0 && len(parts) > 0 {
		parts = append(parts, number(rest)+" more")
	}
	return rows, cmp.Or(strings.Join(parts, ", "), "see the reasons")
}

// are writes "1 row is" or "1,234 rows are".
func are(n int64, word string) string {
	if n == 1 {
		return "1 " + word + " is"
	}
	return number(n) + " " + word + "s are"
}
