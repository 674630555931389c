package migrate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/connect"
	"tokenmigrate/migrate/report"
	"tokenmigrate/source"
)

// randomSource makes rows of every kind, and a checkpoint that knows some.
func randomSource(rnd *rand.Rand, rows int) ([]source.Row, *memory) {
	m := newMemory()
	var out []source.Row
	for n := range rows {
		row := userRow(fmt.Sprintf("%06d", n), fmt.Sprintf("user %d", rnd.IntN(rows)))
		row.Connector = []string{"slack", "github", "google"}[rnd.IntN(3)]
		row.Token.Scopes = make([]string, rnd.IntN(30))
		switch rnd.IntN(8) {
		case 0:
			row.Token.ExpiresAt = before
			row.Token.RefreshToken = connect.Secret{}
		case 1:
			row.Reason, row.Detail = source.ReasonInvalidField, "bad"
		case 2:
			row.Reason, row.Detail = source.ReasonExcluded, "left out"
		case 3:
			m.imported(row)
		case 4:
			it := itemOf(row)
			m.priors[row.Key] = checkpoint.Prior{Outcome: checkpoint.Failed, Reason: "refused", Fingerprint: it.fingerprint, RunID: 1}
		case 5:
			row.Token.Name = string(make([]byte, 700)) // escaped: larger than some chunk_bytes
		}
		m.rows[row.Key] = row
		out = append(out, row)
	}
	return out, m
}

// feedAll runs a pass's feed against a sender that only counts, and returns how
// many chunks came, with the walk's counts.
func feedAll(t *testing.T, p *pass) (chunks int64, counts report.Counts) {
	t.Helper()
	p.recorder = newRecorder(new(ledgerWriter), checkpoint.Lease{}, 1, p.ledger, p.kept, p.waitingFor, p.wait, p.log)
	p.judge.claims = claimMap{}
	out := make(chan *chunk)
	var g errgroup.Group
	g.Go(func() error { return p.recorder.serve(t.Context()) })
	g.Go(func() error {
		for range out {
			chunks++
		}
		return nil
	})
	g.Go(func() error {
		defer close(p.recorder.in)
		defer close(out)
		return p.feed(t.Context(), out)
	})
	if err := g.Wait(); err != nil {
		t.Fatalf("feed: %v", err)
	}
	tally, _ := p.ledger.current()
	return chunks, tally.Counts()
}

func TestForecast_CountsTheCallsOfAFeed(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		rows, m := randomSource(rnd, 20+rnd.IntN(400))
		o := &Options{
			ChunkTokens: 1 + rnd.IntN(60), ChunkBytes: 1000 + rnd.IntN(20_000), RequestsPerMinute: 40,
			Policy: Policy{SendDuplicates: seed%2 == 0, SendExpired: seed%3 == 0, Passes: 1},
		}
		page := 1 + rnd.IntN(100)
		dry := testPass(o, m, rows, page)
		dry.judge.claims = newSeen()
		d := newForecast(dry)
		if err := dry.foresee(t.Context(), d); err != nil {
			t.Fatalf("seed %d: foresee: %v", seed, err)
		}
		var r report.Report
		d.fill(&r)
		tally, _ := dry.ledger.current()
		chunks, counts := feedAll(t, testPass(o, m, rows, 1+rnd.IntN(100)))
		if r.Projection.Calls != chunks {
			t.Errorf("seed %d: foresaw %d calls, and the feed made %d chunks", seed, r.Projection.Calls, chunks)
		}
		if foreseen := tally.Counts(); foreseen != counts || counts.Read != int64(len(rows)) {
			t.Errorf("seed %d: foresaw %+v, and the feed counted %+v of %d rows", seed, foreseen, counts, len(rows))
		}
		configured := report.ProjectionChunkTokens{ChunkTokens: o.ChunkTokens, Calls: chunks, Seconds: seconds(chunks, o.RequestsPerMinute)}
		if !slices.Contains(r.Projection.ByChunkTokens, configured) || d.pending != counts.Pending {
			t.Errorf("seed %d: got %+v and %d pending, want %+v among them, and %d pending", seed, r.Projection.ByChunkTokens, d.pending, configured, counts.Pending)
		}
		var expiring int64
		for _, e := range r.Expiry {
			expiring += e.WithRefresh + e.WithoutRefresh
		}
		if expiring != counts.Pending {
			t.Errorf("seed %d: the expiry table holds %d tokens, want the %d that would be sent", seed, expiring, counts.Pending)
		}
	}
}

func TestForecast_ProjectsEachSizeOnce(t *testing.T) {
	t.Parallel()
	for _, configured := range []int{100, 7} {
		p := testPass(&Options{ChunkTokens: configured, ChunkBytes: 1 << 20, RequestsPerMinute: 30}, newMemory(), nil, 1)
		d := newForecast(p)
		for n := range 1001 {
			d.add(&ruling{item: numberedItem(slack, n, 10), ended: standing{outcome: pending}}, noon)
		}
		var r report.Report
		d.fill(&r)
		seen := map[int]bool{}
		for _, by := range r.Projection.ByChunkTokens {
			calls := int64((1001 + by.ChunkTokens - 1) / by.ChunkTokens)
			if by.Calls != calls || by.Seconds != float64(calls-1)*2 {
				t.Errorf("%d tokens a call: got %d calls in %g s, want %d in %g s", by.ChunkTokens, by.Calls, by.Seconds, calls, float64(calls-1)*2)
			}
			if seen[by.ChunkTokens] {
				t.Errorf("%d tokens a call stands there twice", by.ChunkTokens)
			}
			seen[by.ChunkTokens] = true
		}
		if want := int64((1001 + configured - 1) / configured); r.Projection.Calls != want || !seen[configured] {
			t.Errorf("got %d calls, want %d: those of the configured %d tokens a call, which must be listed", r.Projection.Calls, want, configured)
		}
		if !slices.IsSortedFunc(r.Projection.ByChunkTokens, func(a, b report.ProjectionChunkTokens) int { return a.ChunkTokens - b.ChunkTokens }) {
			t.Errorf("got %+v, want it sorted by size", r.Projection.ByChunkTokens)
		}
	}
}

func TestForecast_SortsByExpiry(t *testing.T) {
	t.Parallel()
	d := newForecast(testPass(&Options{ChunkTokens: 10, ChunkBytes: 1 << 20}, newMemory(), nil, 1))
	add := func(expiresIn int64, change ...func(*item)) {
		it := numberedItem(slack, int(d.pending), 10)
		it.token.ExpiresAt = noon.UnixMilli() + expiresIn
		for _, c := range change {
			c(it)
		}
		d.add(&ruling{item: it}, noon)
	}
	const hour = 3_600_000
	add(-1)
	add(0)
	add(1, noRefresh)
	add(hour)
	add(hour + 1)
	add(24*hour, noRefresh)
	add(7 * 24 * hour)
	add(30 * 24 * hour)
	add(30*24*hour + 1)
	add(-1, madeUp) // not known: counts as the latest
	add(50 * 365 * 24 * hour)
	for _, c := range []struct {
		run  time.Duration
		want [][2]int64 // with and without refresh token, in the order of ExpirySpans
	}{
		{0, [][2]int64{{2, 0}, {0, 0}, {1, 1}, {1, 1}, {1, 0}, {1, 0}, {3, 0}}},
		{time.Second, [][2]int64{{2, 0}, {0, 1}, {1, 0}, {1, 1}, {1, 0}, {1, 0}, {3, 0}}},
		{2 * time.Hour, [][2]int64{{2, 0}, {2, 1}, {0, 0}, {0, 1}, {1, 0}, {1, 0}, {3, 0}}},
		{40 * day, [][2]int64{{2, 0}, {5, 2}, {0, 0}, {0, 0}, {0, 0}, {0, 0}, {2, 0}}},
	} {
		var got [][2]int64
		for _, e := range d.expiry.report(c.run) {
			got = append(got, [2]int64{e.WithRefresh, e.WithoutRefresh})
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("a run of %s:\n got %+v\nwant %+v", c.run, got, c.want)
		}
	}
}

func TestForecast_TellsHowItLookedForDuplicates(t *testing.T) {
	t.Parallel()
	for _, send := range []bool{false, true} {
		rows, m := randomSource(rand.New(rand.NewPCG(3, 3)), 2000)
		p := testPass(&Options{ChunkTokens: 10, ChunkBytes: 1 << 20, RequestsPerMinute: 30, Policy: Policy{SendDuplicates: send, Passes: 1}}, m, rows, 100)
		p.judge.claims = newSeen()
		d := newForecast(p)
		if err := p.foresee(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		var r report.Report
		d.fill(&r)
		found := r.Duplicates.Method == "hashes" && r.Duplicates.Bytes >= 8*d.pending && r.Duplicates.Bytes <= 16*d.pending+256*16*8
		if send && r.Duplicates != (report.Duplicates{}) || !send && !found {
			t.Errorf("duplicates are sent %t: got %+v of %d tokens", send, r.Duplicates, d.pending)
		}
		if r.Projection.ChunkTokens != 10 || r.Pace.RequestsPerMinute != 30 {
			t.Errorf("got %d tokens a call and %g calls a minute, want 10 and 30, as configured", r.Projection.ChunkTokens, r.Pace.RequestsPerMinute)
		}
	}
}

func TestForecast_ListsFailuresOfEachReason(t *testing.T) {
	t.Parallel()
	d := newForecast(testPass(&Options{ChunkTokens: 10, ChunkBytes: 1 << 20}, newMemory(), nil, 1))
	end := func(reason string, n int) {
		for i := range n {
			d.add(&ruling{key: fmt.Sprintf("%s %05d", reason, i), ended: standing{checkpoint.Invalid, reason}}, noon)
		}
	}
	end("frequent", 5000)
	end("rare", 3)
	end("other", 50)
	got := map[string]int{}
	for _, f := range d.listed.failures {
		got[f.Reason]++
	}
	if len(d.listed.failures) != report.MaxFailures || got["frequent"] != report.MaxFailures-23 || got["rare"] != 3 || got["other"] != fewest {
		t.Errorf("got %v, want %d in all, 3 rare and %d others among them", got, report.MaxFailures, fewest)
	}
	if !slices.IsSortedFunc(d.listed.failures[:report.MaxFailures-23], func(a, b report.Failure) int { return strings.Compare(a.Key, b.Key) }) {
		t.Error("the failures are not in the order in which they were found")
	}
}

func TestForecast_ListsFailuresUpToTheLimit(t *testing.T) {
	t.Parallel()
	d := newForecast(testPass(&Options{ChunkTokens: 10, ChunkBytes: 1 << 20}, newMemory(), nil, 1))
	d.add(&ruling{key: "a", ended: standing{unchanged, ""}}, noon)
	d.add(&ruling{key: "b", ended: standing{checkpoint.Imported, ""}}, noon)
	for n := range report.MaxFailures + 5 {
		if d.add(&ruling{key: fmt.Sprint(n), place: place{Connector: slack}, ended: standing{checkpoint.Invalid, "duplicate"}, detail: "why"}, noon) {
			t.Fatal("an invalid row is told as to be sent")
		}
	}
	want := report.Failure{Key: "0", Connector: slack, Reason: "duplicate", Detail: "why"}
	if len(d.listed.failures) != report.MaxFailures || d.listed.failures[0] != want {
		t.Errorf("got %d failures, the first %+v; want %d, the first %+v", len(d.listed.failures), d.listed.failures[0], report.MaxFailures, want)
	}
}

func TestSeconds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		calls     int64
		rpm, want float64
	}{{0, 40, 0}, {1, 40, 0}, {2, 40, 1.5}, {41, 40, 60}, {5, 0, 0}} {
		if got := seconds(c.calls, c.rpm); got != c.want {
			t.Errorf("%d calls at %g a minute: got %g s, want %g", c.calls, c.rpm, got, c.want)
		}
	}
}
