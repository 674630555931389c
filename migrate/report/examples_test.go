package report

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// bigDryRun is what somebody sees who decides about a large migration.
func bigDryRun() *Report {
	r := New("acme-production", "dry-run")
	r.StartedAt = time.Date(2026, 10, 1, 9, 12, 30, 0, time.UTC)
	r.FinishedAt, r.ExitCode = new(r.StartedAt.Add(4*time.Minute+12*time.Second)), new(3)
	var t Tally
	*t.At(Place{"slack/acme", "production"}) = Counts{Read: 612_040, Unchanged: 2_000, Invalid: 1_204, Skipped: 31_022, Pending: 577_814}
	*t.At(Place{"google/workspace", "production"}) = Counts{Read: 301_511, Invalid: 312, Skipped: 2_004, Pending: 299_195}
	*t.At(Place{"github/acme", "production"}) = Counts{Read: 81_207, Unchanged: 400, Invalid: 9, Failed: 3, Pending: 80_795}
	*t.At(Place{"github/acme", "preview"}) = Counts{Read: 5_001, Pending: 5_001}
	*t.At(Place{"", "production"}) = Counts{Read: 241, Invalid: 241}
	t.Reason("duplicate", 1_120)
	t.Reason("decrypt_failed", 310)
	t.Reason("unknown_provider", 241)
	t.Reason("missing_access_token", 95)
	t.Reason("refused", 3)
	t.Reason("expired", 29_950)
	t.Reason("password_login", 3_076)
	t.Fill(r)
	r.Totals = map[string]int64{"imported": 2_400, "failed": 3}
	r.Pace = Pace{RequestsPerMinute: 40}
	r.Projection = Projection{ChunkTokens: 100, Calls: 9_630, Seconds: 14_443.5, ByChunkTokens: []ProjectionChunkTokens{
		{25, 38_514, 57_769.5}, {50, 19_258, 28_885.5}, {100, 9_630, 14_443.5}, {200, 4_816, 7_222.5}, {500, 1_928, 2_890.5}, {1000, 965, 1_446},
	}}
	r.Expiry = []Expiry{{"expired", 410_022, 0}, {"run", 211_090, 214}, {"1h", 0, 0}, {"24h", 90_344, 1_022}, {"7d", 1_200, 90}, {"30d", 20_022, 3_100}, {"later", 140_701, 85_000}}
	r.Duplicates = Duplicates{"hashes", 11_010_048}
	r.Store = Store{Name: "authjs", Encrypted: 903_020, Plain: 58_785, Warnings: []string{"58,785 values are in the clear, though the store may encrypt them; a row that the application has not touched since encryption was turned on looks like that"}}
	for n := range MaxFailures {
		code := []string{"duplicate", "decrypt_failed", "unknown_provider", "missing_access_token", "expired", "password_login"}[n%6]
		r.Failures = append(r.Failures, Failure{
			Key: fmt.Sprintf("cl9xw%07d", n*7919%9_999_991), Connector: []string{"slack/acme", "google/workspace", ""}[n%3], Reason: code,
			Detail: sentence(Explain(code).What) + fmt.Sprintf(": row %d", n),
		})
	}
	return r
}

// bigRun is a run as it is looked at when it has ended.
func bigRun() *Report {
	r := New("acme-production", "run")
	r.StartedAt = time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	r.FinishedAt, r.ExitCode = new(r.StartedAt.Add(5*time.Hour+41*time.Minute)), new(0)
	var t Tally
	*t.At(Place{"slack/acme", "production"}) = Counts{Read: 612_040, Imported: 577_602, Unchanged: 2_000, Failed: 190, Invalid: 1_204, Skipped: 31_022, Unknown: 22}
	*t.At(Place{"github/acme", "production"}) = Counts{Read: 81_207, Imported: 80_795, Unchanged: 400, Invalid: 9, Failed: 3}
	t.Reason("refused", 193)
	t.Reason("duplicate", 1_213)
	t.Reason("in_doubt", 22)
	t.Reason("expired", 31_022)
	t.Fill(r)
	r.Totals = map[string]int64{"imported": 660_797, "failed": 193, "unknown": 22, "invalid": 1_213, "skipped": 31_022}
	r.Calls = Calls{Made: 6_590, Tokens: 658_902, Throttled: 14, Retried: 9, Split: 4, ResentTokens: 300, WaitedSeconds: map[string]float64{"pace": 61_204, "throttled": 1_904, "checkpoint database": 61, "paused": 300}}
	r.Pace = Pace{RequestsPerMinute: 40, Current: 36}
	rnd := rand.New(rand.NewPCG(1, 2))
	var line Timeline
	p := ProgressPoint{}
	for line.Add(p); p.Seconds < 20_460; line.Add(p) {
		p.Seconds += 30
		if p.Seconds > 8_000 && p.Seconds < 9_500 {
			if rnd.IntN(6) == 0 {
				p.Throttled++
			}
			p.Done += 200
			p.Imported += 190
		} else {
			p.Done += 1_000 + rnd.Int64N(100)
			p.Imported += 950 + rnd.Int64N(50)
		}
		p.Calls += 10
	}
	r.Progress = line.Points()
	r.Store = Store{Name: "authjs", Encrypted: 693_247, Warnings: []string{}}
	for n := range 300 {
		r.Failures = append(r.Failures, Failure{Key: fmt.Sprintf("cl9xw%07d", n), Connector: "slack/acme", Reason: "refused", Detail: "the endpoint answered succeeded: false"})
	}
	return r
}

// liveRun is one under way, in four shards, of which one died and one was never
// started.
func liveRun() *Report {
	r := bigRun()
	r.FinishedAt, r.ExitCode, r.Failures, r.Totals = nil, nil, []Failure{}, map[string]int64{}
	r.Remaining = Remaining{310_000, true}
	r.Pace.Waiting = "throttled until 14:02:11"
	r.Progress = r.Progress[:len(r.Progress)/2]
	at := r.StartedAt
	for shard := range 3 {
		r.Runs = append(r.Runs, RunState{Run: int64(41 + shard), Shard: shard, Version: "v1.4.0", State: Running, Done: 231_082, Left: 103_000, StartedAt: at, HeartbeatAt: at.Add(2 * time.Hour), Waiting: "pace"})
	}
	r.Runs[1].State, r.Runs[1].Waiting, r.Runs[1].LastError = Died, "", "the worker died without a word (killed, or its machine failed); the same command goes on from here"
	r.Runs[2].Waiting = r.Pace.Waiting
	r.Shards = 4
	r.Runs = append(r.Runs, RunState{Shard: 3, State: Missing, Left: 103_000})
	r.Calls.Allowed, r.Calls.Full, r.Calls.Wasted = 6_601, 6_470, 38
	return r
}

// randomReport is anything that a report may be, with texts that try to break
// out of the page.
func randomReport(rnd *rand.Rand) *Report {
	hostile := []string{"", "plain", `"><script>alert(1)</script>`, "</style><b>", "a\x00b\x1b[31m", "ключ", "{{.}}", "]]>", "javascript:alert(1)", string(make([]byte, 300)), "\xff\xfe", "a\u202eb\u2066"}
	word := func() string { return hostile[rnd.IntN(len(hostile))] }
	n := func() int64 {
		return []int64{0, 1, rnd.Int64N(1000), rnd.Int64N(1 << 40)}[rnd.IntN(4)]
	}
	r := New("m"+word(), []string{"run", "dry-run"}[rnd.IntN(2)])
	r.StartedAt = time.UnixMilli(rnd.Int64N(1 << 41)).UTC()
	if rnd.IntN(2) == 0 {
		r.FinishedAt = new(r.StartedAt.Add(time.Duration(n()) * time.Millisecond))
		r.ExitCode = new([]int{0, 1, 3, 4, 5, 6, 75, 78}[rnd.IntN(8)])
		r.StoppedBy = []string{"", "limit", "signal", "error"}[rnd.IntN(4)]
	}
	var t Tally
	for range rnd.IntN(6) {
		c := Counts{Imported: n(), Unchanged: n(), Failed: n(), Invalid: n(), Skipped: n(), Unknown: n(), Pending: n()}
		c.Read = c.Sum()
		*t.At(Place{word(), word()}) = c
	}
	codes := append(Reasons(), "password_login", "not_known")
	for range rnd.IntN(5) {
		t.Reason(codes[rnd.IntN(len(codes))], n())
	}
	t.Fill(r)
	for _, o := range r.present() {
		r.Totals[o.Name] = n()
	}
	r.Remaining = Remaining{n(), rnd.IntN(2) == 0}
	r.Calls = Calls{
		Made: n(), Tokens: n(), Throttled: n(), Retried: n(), Split: n(), ResentTokens: n(), Allowed: n(), Full: n(), Wasted: n(),
		WaitedSeconds: map[string]float64{"pace": rnd.Float64() * 1e6, "throttled": 0.2, word() + "x": float64(n())},
	}
	r.Pace = Pace{float64(n()), rnd.Float64() * 100, word()}
	var line Timeline
	for i := range rnd.IntN(600) {
		line.Add(ProgressPoint{float64(i) * (1 + rnd.Float64()*0), n(), n(), n(), int64(i / 50)})
	}
	r.Progress = line.Points()
	for i := range rnd.IntN(4) {
		r.Runs = append(r.Runs, RunState{Run: int64(i), Shard: i, Version: word(), State: []string{Running, Ended, Died, Missing}[rnd.IntN(4)], StartedAt: r.StartedAt, HeartbeatAt: r.StartedAt, FinishedAt: r.FinishedAt, ExitCode: r.ExitCode, Done: n(), Left: n(), Waiting: word(), LastError: word()})
	}
	if rnd.IntN(3) == 0 {
		if r.Shards = 1 + rnd.IntN(5); rnd.IntN(2) == 0 {
			r.Shard = new(rnd.IntN(r.Shards))
		}
	}
	if r.Mode == "dry-run" {
		r.Projection = Projection{ChunkTokens: 100, Calls: n(), Seconds: math.Floor(rnd.Float64() * 1e6), ByChunkTokens: []ProjectionChunkTokens{{25, n(), 2}, {100, n(), 0}}}
		for _, span := range ExpirySpans() {
			r.Expiry = append(r.Expiry, Expiry{span, n(), n()})
		}
		r.Duplicates = Duplicates{[]string{"", "hashes"}[rnd.IntN(2)], n()}
	}
	r.Store = Store{word(), n(), n(), []string{word()}}
	for range rnd.IntN(40) {
		f := Failure{Key: word(), Connector: word(), Reason: codes[rnd.IntN(len(codes))], Detail: word()}
		if rnd.IntN(3) == 0 {
			f.Subject = word()
		}
		r.Failures = append(r.Failures, f)
	}
	r.Error = word()
	if rnd.IntN(2) == 0 {
		r.Warnings = []string{word(), word()}
	}
	return r
}
