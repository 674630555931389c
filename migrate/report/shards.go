package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// inShards reports whether the migration has several shards.
func (r *Report) inShards() bool { return r.Shards > 1 || len(r.Runs) > 1 }

// part returns what stands before and after the words "migration NAME" to say
// what the report is about.
func (r *Report) part() (before, after string) {
	switch {
	case r.Shards > 1 && r.Shard != nil:
		return fmt.Sprintf("shard %d/%d of ", *r.Shard, r.Shards), ""
	case r.Shards > 1:
		return "", fmt.Sprintf(" in %d shards", r.Shards)
	}
	return "", ""
}

// subject says what the report is about.
func (r *Report) subject() string {
	before, after := r.part()
	return before + "migration " + printable(r.Migration) + after
}

// onlyShard follows a verdict that must not be taken for that of the migration.
func (r *Report) onlyShard() string {
	if r.Shards <= 1 || r.Shard == nil {
		return ""
	}
	return fmt.Sprintf(" This is shard %d/%d alone.", *r.Shard, r.Shards)
}

// diedWords are of a worker whose run is Died.
const diedWords = "died without a word (killed, or its machine failed)"

// ShardTrouble says which workers are not where they should be: those that died,
// that were never started, whose rows no count here has, and, where others go on,
// those that ended with an exit code other than 0. Empty: none.
func (r *Report) ShardTrouble() string {
	of := func(state string) []int {
		var list []int
		for _, run := range r.Runs {
			if run.State == state {
				list = append(list, run.Shard)
			}
		}
		return list
	}
	var parts []string
	switch died := of(Died); {
	case len(died) == 0:
	case !r.inShards():
		parts = append(parts, "the worker "+diedWords+"; the same command goes on from here")
	case len(died) == 1:
		parts = append(parts, "the worker of "+shardList(died)+" "+diedWords+"; the same command goes on from there")
	default:
		parts = append(parts, "the workers of "+shardList(died)+" "+diedWords+"; the same command goes on from there")
	}
	if missing := of(Missing); len(missing) > 0 {
		verb, whose := "was", "its"
		if len(missing) > 1 {
			verb, whose = "were", "their"
		}
		parts = append(parts, fmt.Sprintf("%s of %d %s never started, so that %s rows are missing here", shardList(missing), r.Shards, verb, whose))
	}
	if r.running() {
		for _, run := range r.Runs {
			if run.State == Ended && run.ExitCode != nil && *run.ExitCode != 0 {
				parts = append(parts, fmt.Sprintf("shard %d ended with exit code %d", run.Shard, *run.ExitCode))
			}
		}
	}
	const most = 4
	if n := len(parts); n > most {
		parts = append(parts[:most:most], "and more, see the shards")
	}
	return strings.Join(parts, "; ")
}

// shardList writes "shard 2", "shards 2 and 5" or "shards 0, 1, 2, 3, 4 and 91
// others".
func shardList(list []int) string {
	if len(list) == 1 {
		return "shard " + strconv.Itoa(list[0])
	}
	const most = 5
	shown, last := list[:len(list)-1], strconv.Itoa(list[len(list)-1])
	if len(list) > most+1 {
		shown, last = list[:most], number(int64(len(list)-most))+" others"
	}
	words := make([]string, len(shown))
	for i, n := range shown {
		words[i] = strconv.Itoa(n)
	}
	return "shards " + strings.Join(words, ", ") + " and " + last
}

// neediest returns at most n runs, those first that need somebody: died, never
// started, running, ended. 0: all, in their own order.
func (r *Report) neediest(n int) []RunState {
	if n <= 0 || len(r.Runs) <= n {
		return r.Runs
	}
	order := map[string]int{Died: 0, Missing: 1, Running: 2, Ended: 3}
	runs := slices.Clone(r.Runs)
	slices.SortStableFunc(runs, func(a, b RunState) int { return cmp.Compare(order[a.State], order[b.State]) })
	return runs[:n]
}

// doneAndLeft sums up what the shards have done and left.
func (r *Report) doneAndLeft() (done, left int64) {
	for _, run := range r.Runs {
		done, left = done+run.Done, left+run.Left
	}
	return done, left
}

// stateWords puts a run's state in words: "ended with 3".
func (s *RunState) stateWords() string {
	switch {
	case s.State == Ended && s.ExitCode != nil:
		return "ended with " + strconv.Itoa(*s.ExitCode)
	case s.State == Died:
		return "died without a word"
	case s.State == Missing:
		return "never started"
	}
	return s.State
}

// textShards writes what the shards have done, one a line, where there are
// several.
func (r *Report) textShards(t *text) {
	if !r.inShards() || len(r.Runs) == 0 {
		return
	}
	t.line("")
	table := newTable(1, "shard", "run", "done", "left", "state", "last heard of", "last error")
	table.left = 4
	for _, s := range r.Runs {
		heard, run := "-", "-"
		if s.State != Missing {
			heard, run = s.HeartbeatAt.UTC().Format("2006-01-02 15:04:05"), strconv.FormatInt(s.Run, 10)
		}
		table.row(strconv.Itoa(s.Shard), run, number(s.Done), number(s.Left), s.stateWords(), heard, s.LastError)
	}
	done, left := r.doneAndLeft()
	table.row("all", "", number(done), number(left), "", "", "")
	table.print(t)
}
