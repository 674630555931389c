package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tokenmigrate/migrate/connect/sandbox"
	"tokenmigrate/migrate/report"
)

// pod starts one shard as a pod of an Indexed Job would.
func (r *rig) pod(shard, shards int, args ...string) *process {
	r.Helper()
	return r.start([]string{fmt.Sprintf("JOB_COMPLETION_INDEX=%d", shard), fmt.Sprintf("TOKENMIGRATE_SHARDS=%d", shards)}, append([]string{"run"}, args...)...)
}

// duplicate adds n rows behind key after, for the subjects of the keys from 1 on.
func (r *rig) duplicate(after, n int) {
	r.Helper()
	r.exec(`INSERT INTO accounts SELECT $1::bigint + id, NULL, access || '-2', refresh || '-2', expires, subject FROM accounts WHERE id <= $2`, after, n)
}

// Four shards, two of them killed and replaced: every identity once, the budget
// kept, and the last one to finish tells of the whole migration.
func TestShards_FourOfWhichTwoAreKilled(t *testing.T) {
	t.Parallel()
	const rows, twice, shards, perMinute = 1600, 80, 4, 1200
	r := newRig(t, sandbox.Options{Latency: 50 * time.Millisecond}).fill(rows).with("send.chunk_tokens", "10", "send.timeout", "1s",
		"send.requests_per_minute", fmt.Sprint(perMinute), "policy.max_failed", fmt.Sprint(twice))
	r.duplicate(rows, twice)
	pods := make([]*process, shards)
	for i := range pods {
		pods[i] = r.pod(i, shards)
	}
	for i := range 2 {
		r.untilCalls(20 * (i + 1))
		pods[i].kill()
		pods[i] = r.pod(i, shards)
	}
	whole := 0
	for i, p := range pods {
		if code := p.wait(); code != 0 {
			t.Errorf("shard %d: exit code: got %d, want 0\n%s", i, code, p.said())
		}
		if strings.Contains(p.stderr.String(), "the last shard has finished") {
			whole++
			if c := p.readReport().Counts; c.Read != rows+twice || c.Imported+c.Unchanged != rows || c.Invalid != twice {
				t.Errorf("the last shard's report: got %+v, want all %d rows, %d of them duplicates", c, rows+twice, twice)
			}
		}
	}
	if whole != 1 {
		t.Errorf("%d shards told of the whole migration, want 1", whole)
	}
	r.must(0, "report", "--report", r.folder+"/whole.json")
	if got := len(r.endpoint.Imported()); got != rows {
		t.Errorf("the endpoint has %d identities, want %d", got, rows)
	}
	if got := one[int](t, r.cp, `SELECT count(*)::int FROM tokenmigrate.tokens WHERE outcome = 'invalid' AND reason = 'duplicate'`); got != twice {
		t.Errorf("duplicates on record: got %d, want %d", got, twice)
	}
	r.keptBudget(perMinute)

	calls := r.endpoint.Summary().Calls
	for i := range shards {
		p := r.pod(i, shards)
		if code := p.wait(); code != 0 {
			t.Errorf("shard %d again: exit code: got %d, want 0\n%s", i, code, p.said())
		}
	}
	if got := r.endpoint.Summary().Calls; got != calls {
		t.Errorf("a second run made %d calls, want none", got-calls)
	}
}

// keptBudget checks that no second saw more calls than the pace allows. Permits are
// taken in order and used a moment later, so that a few calls more can meet in one.
func (r *rig) keptBudget(perMinute int) {
	r.Helper()
	var at []time.Time
	for _, c := range r.endpoint.Audit().Calls {
		at = append(at, c.At)
	}
	slices.SortFunc(at, time.Time.Compare)
	allowed := perMinute/60 + 6
	for i := range at {
		n := 0
		for n < len(at)-i && at[i+n].Sub(at[i]) < time.Second {
			n++
		}
		if n > allowed {
			r.Errorf("%d calls within a second from %s on, want at most %d", n, at[i].Format(time.StampMilli), allowed)
			return
		}
	}
}

// Duplicates in different shards: exactly one of two is sent, whichever came
// first, also when all shards come by at the same moment; the other is recorded.
func TestShards_DuplicatesAcrossShards(t *testing.T) {
	t.Parallel()
	const rows, shards = 200, 3
	r := newRig(t, sandbox.Options{Latency: 20 * time.Millisecond}).fill(rows).with("send.chunk_tokens", "7", "policy.max_failed", fmt.Sprint(rows-1))
	r.duplicate(rows, rows)
	var pods []*process
	for i := range shards {
		pods = append(pods, r.pod(i, shards))
	}
	var codes []int
	for _, p := range pods {
		codes = append(codes, p.wait())
	}
	slices.Sort(codes)
	// No shard alone has more than the policy allows; all together have one more.
	if !slices.Equal(codes, []int{0, 0, 3}) {
		t.Errorf("exit codes: got %v, want one 3, of the last\n%s", codes, pods[0].said())
	}
	r.sentEachIdentityOnce(rows)
	p := r.start(nil, "report", "--report", "-")
	if code := p.wait(); code != 0 || !strings.Contains(p.stdout.String(), `"exitCode": 3`) {
		t.Errorf("report: exit code %d\n%s", code, p.said())
	}
}

// sentEachIdentityOnce checks that the endpoint saw n identities, each of them once.
func (r *rig) sentEachIdentityOnce(n int) {
	r.Helper()
	seen := map[sandbox.Identity]int{}
	for _, c := range r.endpoint.Audit().Calls {
		for _, t := range c.Tokens {
			seen[t.Identity]++
		}
	}
	var bad problems
	for id, times := range seen {
		if times != 1 {
			bad.add("%s was sent %d times", id.Subject.ID, times)
		}
	}
	bad.tell(r.T)
	if len(seen) != n {
		r.Errorf("%d identities were sent, want %d", len(seen), n)
	}
}

// Another number of shards is refused while somebody is at work, and takes over
// when nobody is.
func TestShards_AnotherNumber(t *testing.T) {
	t.Parallel()
	const rows = 300
	r := newRig(t, sandbox.Options{Latency: 700 * time.Millisecond}).fill(rows).with("send.chunk_tokens", "5", "send.concurrency", "1", "send.timeout", "2s")
	first := r.pod(0, 2)
	r.untilCalls(3)
	refused := r.start(nil, "run", "--shard", "0/3")
	if code := refused.wait(); code != 78 || !strings.Contains(refused.stderr.String(), "with 2 shards and not 3") {
		t.Errorf("exit code: got %d, want 78 and why\n%s", code, refused.said())
	}
	first.kill()
	r.settled()
	// What it left in doubt is settled by whoever has the keys now.
	alone := r.with("send.chunk_tokens", "50", "send.concurrency", "4").must(0, "run")
	alone.checkCounts(report.Counts{Imported: rows - r.unchanged(alone), Unchanged: r.unchanged(alone)})
	r.checkArrived(all)
}

// unchanged returns how many rows a run found imported by earlier ones.
func (r *rig) unchanged(p *process) int64 { return p.readReport().Counts.Unchanged }

func TestShards_UsageErrors(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(1)
	p := r.start([]string{"JOB_COMPLETION_INDEX=2"}, "run")
	if code := p.wait(); code != 78 || !strings.Contains(p.stderr.String(), "TOKENMIGRATE_SHARDS does not say how many") {
		t.Errorf("exit code: got %d, want 78 and why\n%s", code, p.said())
	}
	if got := r.endpoint.Summary().Calls; got != 0 {
		t.Errorf("%d calls were made", got)
	}
}
