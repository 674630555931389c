package report

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// example is a report with a value in every field.
func example() *Report {
	r := New("acme-slack", "run")
	r.StartedAt = time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	r.FinishedAt, r.ExitCode = new(r.StartedAt.Add(90*time.Minute)), new(3)
	var t Tally
	*t.At(Place{"slack/acme", "production"}) = Counts{Read: 12_345, Imported: 12_000, Unchanged: 300, Failed: 20, Invalid: 15, Skipped: 7, Unknown: 2, Pending: 1}
	*t.At(Place{"github/acme", "preview"}) = Counts{Read: 5, Imported: 5}
	*t.At(Place{"", "production"}) = Counts{Read: 3, Invalid: 3}
	t.Reason("refused", 20)
	t.Reason("duplicate", 15)
	t.Reason("unknown_provider", 3)
	t.Reason("expired", 7)
	t.Reason("in_doubt", 2)
	t.Fill(r)
	r.Totals = map[string]int64{"imported": 12_305, "failed": 20, "unknown": 2}
	r.Calls = Calls{Made: 131, Tokens: 12_107, Throttled: 2, Retried: 1, Split: 4, ResentTokens: 100, WaitedSeconds: map[string]float64{"pace": 190.5, "throttled": 61}}
	for n := range 12 {
		r.Failures = append(r.Failures, Failure{Key: string(rune('a' + n)), Connector: "slack/acme", Reason: "refused", Detail: "the endpoint answered succeeded: false"})
	}
	r.Failures[0].Connector = ""
	r.Store = Store{Name: "authjs", Encrypted: 12_000, Plain: 353, Warnings: []string{"353 rows are not encrypted"}}
	return r
}

func TestReport_JSONHasTheKeysOfItsContract(t *testing.T) {
	t.Parallel()
	r := example()
	r.Remaining = Remaining{Rows: 9, Estimated: true}
	r.StoppedBy = "limit"
	r.Projection = Projection{ChunkTokens: 100, Calls: 1, Seconds: 2, ByChunkTokens: []ProjectionChunkTokens{{100, 1, 2}}}
	r.Expiry = []Expiry{{"1h", 1, 2}}
	r.Progress = []ProgressPoint{{1, 2, 3, 4, 5}}
	r.Runs = []RunState{{Run: 1, StartedAt: r.StartedAt, HeartbeatAt: r.StartedAt}}
	var text bytes.Buffer
	if err := r.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal(text.Bytes(), &object); err != nil {
		t.Fatal(err)
	}
	at := func(path ...any) map[string]any {
		var v any = object
		for _, p := range path {
			switch p := p.(type) {
			case string:
				v = v.(map[string]any)[p]
			case int:
				v = v.([]any)[p]
			}
		}
		return v.(map[string]any)
	}
	counts := []string{"read", "imported", "unchanged", "failed", "invalid", "skipped", "unknown", "pending"}
	for _, c := range []struct {
		path []any
		want []string
	}{
		{nil, []string{"version", "migration", "mode", "startedAt", "finishedAt", "exitCode", "stoppedBy", "counts", "totals", "remaining", "reasons", "connectors", "calls", "pace", "progress", "runs", "projection", "expiry", "duplicates", "store", "failures"}},
		{[]any{"counts"}, counts},
		{[]any{"connectors", 0}, append([]string{"connector", "environment"}, counts...)},
		{[]any{"remaining"}, []string{"rows", "estimated"}},
		{[]any{"calls"}, []string{"made", "tokens", "throttled", "retried", "split", "resentTokens", "waitedSeconds"}},
		{[]any{"projection"}, []string{"chunkTokens", "calls", "seconds", "byChunkTokens"}},
		{[]any{"projection", "byChunkTokens", 0}, []string{"chunkTokens", "calls", "seconds"}},
		{[]any{"expiry", 0}, []string{"upTo", "withRefresh", "withoutRefresh"}},
		{[]any{"duplicates"}, []string{"method", "bytes"}},
		{[]any{"pace"}, []string{"requestsPerMinute", "current", "waiting"}},
		{[]any{"progress", 0}, []string{"seconds", "done", "imported", "calls", "throttled"}},
		{[]any{"runs", 0}, []string{"run", "shard", "version", "state", "startedAt", "heartbeatAt", "finishedAt", "exitCode", "done", "left", "waiting", "lastError"}},
		{[]any{"store"}, []string{"name", "encrypted", "plain", "warnings"}},
		{[]any{"failures", 0}, []string{"key", "connector", "reason", "detail"}},
	} {
		got := slices.Sorted(maps.Keys(at(c.path...)))
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: got keys %q, want %q", c.path, got, c.want)
		}
	}
	if object["version"] != 1.0 || object["startedAt"] != "2026-10-01T12:00:00Z" {
		t.Errorf("got version %v and startedAt %v, want 1 and 2026-10-01T12:00:00Z", object["version"], object["startedAt"])
	}
	var back Report
	if err := json.Unmarshal(text.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&back, r) {
		t.Errorf("read back: got %+v, want %+v", back, *r)
	}
}

func TestNew_ReportsNothingAsEmptyAndNotNull(t *testing.T) {
	t.Parallel()
	r := New("acme", "dry-run")
	new(Tally).Fill(r)
	var text bytes.Buffer
	if err := r.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal(text.Bytes(), &object); err != nil {
		t.Fatal(err)
	}
	var nulls []string
	var look func(path string, v any)
	look = func(path string, v any) {
		switch v := v.(type) {
		case nil:
			nulls = append(nulls, path)
		case map[string]any:
			for name, part := range v {
				look(path+"."+name, part)
			}
		}
	}
	look("", object)
	slices.Sort(nulls)
	if want := []string{".exitCode", ".finishedAt"}; !slices.Equal(nulls, want) {
		t.Errorf("got null for %q, want it for %q alone: it is under way", nulls, want)
	}
}

func TestReport_JSONLeavesTextReadable(t *testing.T) {
	t.Parallel()
	r := New("acme", "run")
	r.Failures = []Failure{{Key: "k", Detail: "a < b & c"}}
	var text bytes.Buffer
	if err := r.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text.Bytes(), []byte("a < b & c")) || !bytes.HasSuffix(text.Bytes(), []byte("}\n")) {
		t.Errorf("got %s, want the detail as it is, and one line's end after the object", text.Bytes())
	}
}

// TestCounts_CoverEveryField fails when an outcome is added and forgotten in
// one of the sums.
func TestCounts_CoverEveryField(t *testing.T) {
	t.Parallel()
	fields := reflect.TypeFor[Counts]()
	excused := map[string]bool{"Read": true, "Imported": true, "Unchanged": true, "Skipped": true}
	for i := range fields.NumField() {
		var c Counts
		reflect.ValueOf(&c).Elem().Field(i).SetInt(3)
		name := fields.Field(i).Name
		if got, want := c.Sum(), int64(3); name != "Read" && got != want || name == "Read" && got != 0 {
			t.Errorf("%s: got a sum of %d", name, got)
		}
		if got := c.NotImported() == 3; got == excused[name] {
			t.Errorf("%s: counts as not imported: %t, want %t", name, got, !excused[name])
		}
		sum := c
		sum.Add(c)
		if got := reflect.ValueOf(sum).Field(i).Int(); got != 6 {
			t.Errorf("%s: got %d for 3 and 3", name, got)
		}
	}
}

func TestCalls_AddsEveryField(t *testing.T) {
	t.Parallel()
	one := Calls{Made: 1, Tokens: 2, Throttled: 3, Retried: 4, Split: 5, ResentTokens: 6, WaitedSeconds: map[string]float64{"pace": 7, "lease": 8}}
	var sum Calls
	sum.Add(one)
	sum.Add(one)
	sum.Add(Calls{})
	want := Calls{Made: 2, Tokens: 4, Throttled: 6, Retried: 8, Split: 10, ResentTokens: 12, WaitedSeconds: map[string]float64{"pace": 14, "lease": 16}}
	if !reflect.DeepEqual(sum, want) {
		t.Errorf("got %+v, want %+v", sum, want)
	}
	if one.WaitedSeconds["pace"] != 7 {
		t.Error("adding changed what was added")
	}
}

func TestTally_AddsUp(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 9))
	var tally Tally
	places := []Place{{"b", "production"}, {"a", "production"}, {"a", "preview"}, {"", ""}}
	reasons := map[string]int64{}
	for range 1000 {
		c := tally.At(places[rnd.IntN(len(places))])
		c.Read++
		if rnd.IntN(2) == 0 {
			c.Imported++
		} else {
			c.Failed++
			code := []string{"refused", "rejected"}[rnd.IntN(2)]
			reasons[code]++
			tally.Reason(code, 1)
		}
	}
	tally.At(Place{"empty", "production"}) // touched and left empty: not listed
	tally.Reason("", 5)
	tally.Reason("gone", 2)
	tally.Reason("gone", -2)
	var r Report
	tally.Fill(&r)
	if r.Counts.Read != 1000 || r.Counts.Sum() != 1000 || r.Counts != tally.Counts() {
		t.Errorf("got %+v, want 1000 rows that add up", r.Counts)
	}
	var sum Counts
	var order []Place
	for _, c := range r.Connectors {
		sum.Add(c.Counts)
		order = append(order, Place{c.Connector, c.Environment})
	}
	if want := []Place{{"", ""}, {"a", "preview"}, {"a", "production"}, {"b", "production"}}; !slices.Equal(order, want) || sum != r.Counts {
		t.Errorf("got connectors %v that sum to %+v, want %v and %+v", order, sum, want, r.Counts)
	}
	if !maps.Equal(r.Reasons, reasons) {
		t.Errorf("got reasons %v, want %v", r.Reasons, reasons)
	}
	r.Reasons["refused"] = -1
	if tally.Reasons["refused"] < 0 {
		t.Error("the report's reasons are the tally's own")
	}
}
