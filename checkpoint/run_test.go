package checkpoint

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestRuns_TheNewestOfEachShard(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if none, err := b.Runs(t.Context(), 99); err != nil || len(none) != 0 {
		t.Errorf("another migration: got %v, %v, want none", none, err)
	}
	finish(t, b, b.run, 75, []byte(`{"read": 1}`), "stopped")
	must(t, b.Release(t.Context(), b.lease))
	l0, err := b.Acquire(t.Context(), b.lease.Migration, 0, 3, "first", nil)
	must(t, err)
	again, err := b.StartRun(t.Context(), l0, "v2", "run")
	must(t, err)
	l2, err := b.Acquire(t.Context(), b.lease.Migration, 2, 3, "pod-2", nil)
	must(t, err)
	r2, err := b.StartRun(t.Context(), l2, "v1", "run")
	must(t, err)
	l1, err := b.Acquire(t.Context(), b.lease.Migration, 1, 3, "pod-1", nil)
	must(t, err)
	r1, err := b.StartRun(t.Context(), l1, "v1", "run")
	must(t, err)
	b.lease, b.run = l1, r1
	b.record(Batch{Counts: []byte(`{"read": 5, "shards": 3}`), Waiting: "pace"})
	b.exec(`UPDATE {schema}.leases SET expires_at = clock_timestamp() - interval '1 second' WHERE shard = 2`)

	show := func() []string {
		t.Helper()
		runs, err := b.Runs(t.Context(), b.lease.Migration)
		must(t, err)
		var out []string
		for _, r := range runs {
			exit := "-"
			if r.ExitCode != nil {
				exit = fmt.Sprint(*r.ExitCode)
			}
			if since := time.Since(r.StartedAt); since < -time.Minute || since > time.Minute || r.HeartbeatAt.Before(r.StartedAt) {
				t.Errorf("run %d: started %v, heartbeat %v", r.ID, r.StartedAt, r.HeartbeatAt)
			}
			out = append(out, fmt.Sprintf("%d of shard %d: %s %s %s %q %q exit=%s finished=%t alive=%t %q",
				r.ID, r.Shard, r.Version, r.Mode, r.Counts, r.Waiting, r.LastError, exit, !r.FinishedAt.IsZero(), r.Alive, r.Holder))
		}
		return out
	}
	shard0 := fmt.Sprintf(`%d of shard 0: v2 run {"shards": 3} "" "" exit=- finished=false alive=true "first"`, again)
	shard2 := fmt.Sprintf(`%d of shard 2: v1 run {"shards": 3} "" "" exit=- finished=false alive=false "pod-2"`, r2)
	equal(t, "runs", show(), shard0,
		fmt.Sprintf(`%d of shard 1: v1 run {"read": 5, "shards": 3} "pace" "" exit=- finished=false alive=true "pod-1"`, r1), shard2)
	finish(t, b, r1, 3, nil, "3 tokens failed")
	equal(t, "after shard 1 finished, still holding its lease", show(), shard0,
		fmt.Sprintf(`%d of shard 1: v1 run {"read": 5, "shards": 3} "" "3 tokens failed" exit=3 finished=true alive=false "pod-1"`, r1), shard2)
	must(t, b.Release(t.Context(), l1))
	equal(t, "after its release", show(), shard0,
		fmt.Sprintf(`%d of shard 1: v1 run {"read": 5, "shards": 3} "" "3 tokens failed" exit=3 finished=true alive=false ""`, r1), shard2)
}

// failed fills a migration with n tokens that are not imported, every fifth of
// github, every third invalid, and one that is imported; it returns their keys.
func failed(b *bench, n int) []string {
	b.Helper()
	locals := []Local{{Key: "", Connector: "slack/acme", Outcome: Invalid, Reason: "missing_subject"}}
	keys := []string{""}
	for i := 1; i < n; i++ {
		l := Local{Key: fmt.Sprintf("k%05d", i), Connector: "slack/acme", Environment: "production", Outcome: Skipped, Reason: "expired", Detail: "d"}
		if i%2 == 0 {
			l.Key = fmt.Sprintf("K%05d", i)
		}
		if i%5 == 0 {
			l.Connector = "github/acme"
		}
		if i%3 == 0 {
			l.Outcome, l.Reason = Invalid, "missing_subject"
		}
		locals, keys = append(locals, l), append(keys, l.Key)
	}
	b.record(Batch{Locals: locals})
	b.call(imported("imported"))
	slices.Sort(keys) // bytes, which is the order of the column
	return keys
}

func TestFailures_PagesInOrder(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, failuresWindow - 1, failuresWindow, failuresWindow + 1, 2*failuresWindow + 500} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			var want []string
			if n > 0 {
				want = failed(b, n)
			}
			var got []string
			must(t, b.Failures(t.Context(), b.lease.Migration, Filter{}, func(f Failure) error { got = append(got, f.Key); return nil }))
			if !slices.Equal(got, want) {
				t.Errorf("got %d keys (%.3q ...), want %d (%.3q ...)", len(got), got, len(want), want)
			}
		})
	}
}

func TestFailures_Filters(t *testing.T) {
	t.Parallel()
	const n = 2*failuresWindow + 500
	b := newBench(t)
	failed(b, n)
	other := begin(t, b.Store, "other", "first")
	other.call(refused("elsewhere"))
	count := func(div ...int) (c int) {
		for i := 1; i < n; i++ {
			if !slices.ContainsFunc(div, func(d int) bool { return i%d != 0 }) {
				c++
			}
		}
		return c
	}
	for _, c := range []struct {
		filter Filter
		want   int
	}{
		{Filter{}, n},
		{Filter{Connector: "github/acme"}, count(5)},
		{Filter{Reason: "missing_subject"}, count(3) + 1},
		{Filter{Connector: "github/acme", Reason: "missing_subject"}, count(5, 3)},
		{Filter{Connector: "nobody"}, 0},
		{Filter{Limit: 1}, 1},
		{Filter{Limit: failuresWindow}, failuresWindow},
		{Filter{Limit: failuresWindow + 1}, failuresWindow + 1},
		{Filter{Limit: n + 1}, n},
		{Filter{Limit: 7, Connector: "github/acme"}, 7},
	} {
		got, last := 0, ""
		must(t, b.Failures(t.Context(), b.lease.Migration, c.filter, func(f Failure) error {
			if c.filter.Connector != "" && f.Connector != c.filter.Connector || c.filter.Reason != "" && f.Reason != c.filter.Reason || got > 0 && f.Key <= last {
				t.Errorf("%+v: got %+v after key %q", c.filter, f, last)
			}
			got, last = got+1, f.Key
			return nil
		}))
		if got != c.want {
			t.Errorf("%+v: got %d, want %d", c.filter, got, c.want)
		}
	}
}

func TestFailures_TellsAllAndStopsAtAnError(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.call(refused("a"), refused("b"), imported("c"))
	b.record(Batch{Locals: []Local{{Key: "d", Outcome: Invalid, Reason: "too_large"}}})
	var got []Failure
	must(t, b.Failures(t.Context(), b.lease.Migration, Filter{}, func(f Failure) error {
		if time.Since(f.UpdatedAt).Abs() > time.Minute {
			t.Errorf("%s: updated at %v", f.Key, f.UpdatedAt)
		}
		f.UpdatedAt = time.Time{}
		got = append(got, f)
		return nil
	}))
	want := []Failure{
		{Key: "a", Connector: "slack/acme", Environment: "production", Outcome: Failed, Reason: "refused", Detail: "no", Attempts: 1},
		{Key: "b", Connector: "slack/acme", Environment: "production", Outcome: Failed, Reason: "refused", Detail: "no", Attempts: 1},
		{Key: "d", Outcome: Invalid, Reason: "too_large"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	stop, calls := errors.New("the pipe is closed"), 0
	err := b.Failures(t.Context(), b.lease.Migration, Filter{}, func(Failure) error { calls++; return stop })
	if err != stop || calls != 1 {
		t.Errorf("got %v after %d calls, want the callback's own error after one", err, calls)
	}
	totals, err := b.Totals(t.Context(), b.lease.Migration)
	if err != nil || fmt.Sprint(totals) != "map[failed:2 imported:1 invalid:1]" {
		t.Errorf("Totals: got %v, %v", totals, err)
	}
}

// Failures that are rare among what was imported are found, however far apart.
func TestFailures_AmongManyImported(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.exec(`INSERT INTO {schema}.tokens (migration_id, key, outcome, reason, updated_at)
		SELECT $1, to_char(n, 'FM00000'), CASE WHEN n % $2 = 3 THEN 'failed' ELSE 'imported' END, CASE WHEN n % $2 = 3 THEN 'refused' END, now()
		FROM generate_series(1, 3 * $2::int) n`, b.lease.Migration, failuresWindow)
	var got []string
	must(t, b.Failures(t.Context(), b.lease.Migration, Filter{}, func(f Failure) error { got = append(got, f.Key); return nil }))
	equal(t, "failures", got, "00003", fmt.Sprintf("%05d", failuresWindow+3), fmt.Sprintf("%05d", 2*failuresWindow+3))
}
