package report

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
)

func htmlOf(t *testing.T, r *Report, o HTMLOptions) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteHTML(&b, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// address is what would let a browser ask for something.
var address = regexp.MustCompile(`(?i)(src|href|srcset|action|data|poster|xlink:href)\s*=\s*["']?([^"'\s>]*)|url\(|@import|<(script|iframe|img|object|embed|form|base)`)

func TestWriteHTML_IsSelfContained(t *testing.T) {
	t.Parallel()
	for i, r := range exampleReports() {
		page := htmlOf(t, r, HTMLOptions{})
		if len(page) >= 1<<20 {
			t.Errorf("report %d: the page has %d bytes, want less than 1 MiB", i, len(page))
		}
		for _, found := range address.FindAllString(page, -1) {
			if found != `href="data:,` {
				t.Errorf("report %d: the page holds %q", i, found)
			}
		}
		if strings.ContainsAny(page, "\u202e\u2066\x1b\x00") {
			t.Errorf("report %d: the page holds signs that are not seen", i)
		}
		if strings.Contains(page, "ZgotmplZ") || strings.Contains(page, "<no value>") || strings.Contains(page, "%!") || strings.Contains(page, "NaN") {
			t.Errorf("report %d: the page has a hole", i)
		}
	}
}

// TestWriteHTML_SpellsOutWhatTurnsTheText has it in a key, a sample and a connector.
func TestWriteHTML_SpellsOutWhatTurnsTheText(t *testing.T) {
	t.Parallel()
	r := example()
	r.Failures[0].Key, r.Connectors[0].Connector = "a\u202eb", "c\u2066d"
	page := htmlOf(t, r, HTMLOptions{})
	if strings.ContainsAny(page, "\u202e\u2066") || strings.Count(page, `a\u202eb`) != 2 || !strings.Contains(page, `c\u2066d`) {
		t.Errorf("got a page with these %t, and the key spelled out %d times, want 2, the connector %t", strings.ContainsAny(page, "\u202e\u2066"), strings.Count(page, `a\u202eb`), strings.Contains(page, `c\u2066d`))
	}
	if !strings.Contains(page, "code,.key{unicode-bidi:isolate}") {
		t.Error("a key in a script from right to left moves what stands beside it")
	}
}

// TestWriteHTML_SaysWhatBecomesOfPending is of runs that end with rows pending.
func TestWriteHTML_SaysWhatBecomesOfPending(t *testing.T) {
	t.Parallel()
	at, four := new(time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)), new(4)
	two := []Connector{{"a", "production", Counts{Read: 5, Pending: 5}}, {"b", "production", Counts{Read: 7, Imported: 3, Pending: 4}}}
	for name, c := range map[string]struct {
		r    Report
		want string
	}{
		"under way":            {Report{}, "<p>9 rows are pending: not sent yet.</p>"},
		"failures":             {Report{FinishedAt: at, Counts: Counts{Failed: 1}}, "1 row is not imported, out of 12 rows. A further 9 rows are pending: not sent in this run. The next one sends them."},
		"a limit":              {Report{FinishedAt: at, StoppedBy: "limit"}, "<p>9 rows are pending: not sent in this run. The next one sends them."},
		"one refuses":          {Report{FinishedAt: at, Warnings: []string{refusal("a")}}, "not sent in this run. 5 of them wait until connector a no longer refuses calls; the next run sends the others."},
		"all refuse":           {Report{FinishedAt: at, Warnings: []string{refusal("a"), refusal("b")}}, "not sent in this run. The next one sends them once connector a (and one other) no longer refuses calls."},
		"the endpoint refuses": {Report{FinishedAt: at, ExitCode: four, StoppedBy: "error"}, "not sent in this run. The next one sends them once the endpoint no longer refuses calls."},
	} {
		c.r.Mode, c.r.Connectors = "run", two
		c.r.Counts.Read, c.r.Counts.Imported, c.r.Counts.Pending = 12, 3-c.r.Counts.Failed, 9
		if page := html.UnescapeString(htmlOf(t, &c.r, HTMLOptions{})); !strings.Contains(page, c.want) {
			t.Errorf("%s: the page does not say %q but %q", name, c.want, c.r.missingWords())
		}
	}
}

func TestWriteHTML_SaysNothingWasSentTwiceOnlyWhereItIsKnown(t *testing.T) {
	t.Parallel()
	for tokens, want := range map[int64]string{8: "and no token was sent twice.", 9: "No call was throttled or repeated."} {
		r := Report{Mode: "run", Counts: Counts{Read: 9, Imported: 5, Failed: 2, Unknown: 1, Skipped: 1}, Calls: Calls{Made: 2, Tokens: tokens}}
		if got := r.progressPart().Sent; len(got) != 1 || !strings.HasSuffix(got[0], want) {
			t.Errorf("%d tokens in calls and 8 answers: got %q, want %q", tokens, got, want)
		}
	}
}

func TestWriteHTML_StaysSmall(t *testing.T) {
	t.Parallel()
	for name, long := range map[string]string{"long": strings.Repeat("x", 5000), "escaped": strings.Repeat(`<"&>`, 1250), "usual": "row 12345 of the table accounts"} {
		r := bigDryRun()
		r.Failures = nil
		for n := range MaxFailures {
			r.Failures = append(r.Failures, Failure{Key: fmt.Sprint(n, long), Connector: long, Reason: "duplicate", Detail: long, Subject: long})
		}
		r.Connectors = nil
		for n := range 5000 {
			r.Connectors = append(r.Connectors, Connector{Connector: fmt.Sprint(n, long), Environment: long, Counts: Counts{Read: 1, Pending: 1}})
		}
		for n := range 2000 {
			r.Reasons[fmt.Sprint(n, long)] = 1
			r.Store.Warnings = append(r.Store.Warnings, long)
			r.Runs = append(r.Runs, RunState{Shard: n, State: Died, LastError: long, Version: long})
		}
		page := htmlOf(t, r, HTMLOptions{})
		if len(page) >= 1<<20 {
			t.Errorf("%s: the page has %d bytes, want less than 1 MiB", name, len(page))
		}
		listed := strings.Count(page, `<tr><th scope="row" class="w key">`)
		if name == "usual" && listed != MaxFailures+maxPlaces+1 {
			t.Errorf("usual texts: got %d failures and connectors listed, want %d", listed, MaxFailures+maxPlaces+1)
		}
		if !strings.Contains(page, "4,800 others") {
			t.Errorf("%s: the page does not sum up the other connectors", name)
		}
	}
}

func TestWriteHTML_SaysWhatMatters(t *testing.T) {
	t.Parallel()
	dry, run := bigDryRun(), bigRun()
	limited := bigRun()
	limited.Failures = limited.Failures[:2]
	limited.Failures[0].Subject = "user-17"
	for _, c := range []struct {
		name string
		r    *Report
		o    HTMLOptions
		want []string
		not  []string
	}{
		{"dry run", dry, HTMLOptions{}, []string{
			"Not yet:", "1,769 rows cannot be imported", "1,000,000 rows read", "What will not be imported, and why", "duplicate", "Another row is for the same subject",
			"policy.duplicates: send sends both", "cl9xw", "A token that dies before it is sent is a user who must consent again", "214 tokens without refresh token",
			"Chunk size is what decides the time", "With send.chunk_tokens at 1000", "at 40 calls a minute", "Duplicates", "hashes of 8 bytes each", "10.5 MiB", "authjs", "What will be left out on purpose",
			"no subject id", "1,000 of them, one by one",
		}, []string{"http-equiv=\"refresh\"", "What was done more than once"}},
		{"run", run, HTMLOptions{}, []string{"Finished,", "14 calls were throttled", "9 calls were repeated", "300 tokens were sent again", "Since the endpoint throttled", "5h41m",
			"tokenmigrate failures --reason duplicate"}, []string{"Chunk size", "would be sent"}},
		{"live", liveRun(), HTMLOptions{Refresh: 5 * time.Second, AsOf: time.Date(2026, 10, 1, 14, 0, 1, 0, time.UTC)},
			[]string{`<meta http-equiv="refresh" content="5">`, "as of 14:00:01 UTC", "Under way,", "died", "2h2", "throttled until 14:02:11"}, nil},
		{"subjects", limited, HTMLOptions{}, []string{"user-17", "it holds subject ids, as asked for"}, []string{"no subject id"}},
		{"quick", example(), HTMLOptions{Refresh: time.Millisecond}, []string{`content="1"`, "too short"}, []string{"as of"}},
	} {
		page := html.UnescapeString(htmlOf(t, c.r, c.o))
		for _, want := range c.want {
			if !strings.Contains(page, want) {
				t.Errorf("%s: the page does not say %q", c.name, want)
			}
		}
		for _, not := range c.not {
			if strings.Contains(page, not) {
				t.Errorf("%s: the page says %q", c.name, not)
			}
		}
	}
}

// TestWriteHTML_AddsUp looks at the sum as a reader does.
func TestWriteHTML_AddsUp(t *testing.T) {
	t.Parallel()
	number := regexp.MustCompile(`<b>([\d,]+)`)
	for i, r := range exampleReports() {
		page := htmlOf(t, r, HTMLOptions{})
		_, line, _ := strings.Cut(page, `<p class="sum">`)
		line, _, _ = strings.Cut(line, "</p>")
		var terms []int64
		for _, m := range number.FindAllStringSubmatch(line, -1) {
			var n int64
			if _, err := fmt.Sscan(strings.ReplaceAll(m[1], ",", ""), &n); err != nil {
				t.Fatal(err)
			}
			terms = append(terms, n)
		}
		var sum int64
		for _, n := range terms[1:] {
			sum += n
		}
		if terms[0] != r.Counts.Read || sum != r.Counts.Read {
			t.Errorf("report %d: got %s, want %d as the sum of its parts", i, line, r.Counts.Read)
		}
	}
}

func TestWriteHTML_TellsAFailingWriter(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	_ = r.Close()
	if err := example().WriteHTML(w, HTMLOptions{}); err == nil {
		t.Error("got no error, though nothing could be written")
	}
}

func TestRoundUp(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]float64{1: 2, 2: 2, 3: 3, 7: 8, 9: 10, 10: 10, 11: 15, 201: 300, 999: 1000, 1_000_001: 1_500_000} {
		if got := roundUp(n); got != want {
			t.Errorf("%d: got %g, want %g", n, got, want)
		}
	}
}

func TestShare_IsNeverAlmostNothingOrAll(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		part, whole int64
		want        string
	}{{0, 0, ""}, {0, 5, "0%"}, {5, 5, "100%"}, {1, 1e6, "less than 0.1%"}, {1e6 - 1, 1e6, "more than 99.9%"}, {1, 3, "33.3%"}} {
		if got := share(c.part, c.whole); got != c.want {
			t.Errorf("%d of %d: got %q, want %q", c.part, c.whole, got, c.want)
		}
	}
}
