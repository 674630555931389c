package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// WriteText writes the report as plain text: the verdict's sentence first, then
// counts that visibly add up, reasons, samples of what is not imported, and what
// the calls took or would take. Lines end without space; none is coloured.
func (r *Report) WriteText(w io.Writer) error { return r.writeText(w, false) }

// WriteTerminal writes the same text with colours. It is for a terminal whose
// user has not set NO_COLOR, which the caller has made sure of.
func (r *Report) WriteTerminal(w io.Writer) error { return r.writeText(w, true) }

func (r *Report) writeText(w io.Writer, color bool) error {
	t := &text{color: color}
	v := r.Verdict()
	t.line("%s of %s: %s", r.title(), r.subject(), t.paint(levelColors[v.Level], printable(v.Sentence)))
	for _, warning := range r.warnings() {
		t.line("%s %s", t.paint(yellow, "warning:"), printable(warning))
	}
	t.line("")
	r.textCounts(t)
	r.textShards(t)
	r.textReasons(t)
	r.textFailures(t)
	if r.Mode == "dry-run" {
		r.textForecast(t)
	} else {
		r.textCalls(t)
	}
	r.textNotes(t)
	_, err := io.WriteString(w, t.b.String())
	return err
}

func (r *Report) title() string {
	if r.Mode == "dry-run" {
		return "Dry run"
	}
	return "Run"
}

// warnings returns those of the run and those of the store.
func (r *Report) warnings() []string {
	all := slices.Concat(r.Warnings, r.Store.Warnings)
	if r.Paused {
		all = slices.Insert(all, 0, "the migration is paused "+pausedWords)
	}
	if r.InDoubt != nil {
		by := "a run"
		if r.inShards() {
			by = "a run of their shard"
		}
		all = slices.Insert(all, 0, fmt.Sprintf("%s, and the lease of their worker is over: what became of these tokens is not known. Once the calls are certainly over, %s goes by policy.in_doubt", r.InDoubt.words(), by))
	}
	return all
}

// pausedWords follow the word paused.
const pausedWords = "by an operator: no calls are made until `tokenmigrate resume`"

func (d *InDoubt) words() string {
	have := "have"
	if d.Calls == 1 {
		have = "has"
	}
	return fmt.Sprintf("%s with %s %s no answer on record", count(d.Calls, "call"), count(d.Tokens, "token"), have)
}

// outcome is one part of the sum that makes the rows read.
type outcome struct {
	Name, Title string
	of          func(Counts) int64
}

// outcomes returns the parts in the order in which they are shown: what goes
// well, what is missing, what was left out.
func (r *Report) outcomes() []outcome {
	pending := "pending"
	if r.Mode == "dry-run" {
		pending = "to send"
	}
	return []outcome{
		{"pending", pending, func(c Counts) int64 { return c.Pending }},
		{"imported", "imported", func(c Counts) int64 { return c.Imported }},
		{"unchanged", "unchanged", func(c Counts) int64 { return c.Unchanged }},
		{"failed", "failed", func(c Counts) int64 { return c.Failed }},
		{"invalid", "invalid", func(c Counts) int64 { return c.Invalid }},
		{"unknown", "unknown", func(c Counts) int64 { return c.Unknown }},
		{"skipped", "skipped", func(c Counts) int64 { return c.Skipped }},
	}
}

// present returns the outcomes that any row ended as.
func (r *Report) present() []outcome {
	return slices.DeleteFunc(r.outcomes(), func(o outcome) bool { return o.of(r.Counts) == 0 })
}

func (r *Report) textCounts(t *text) {
	present := r.present()
	header := []string{"connector", "environment", "rows"}
	for i, o := range present {
		header[len(header)-1] += []string{" =", " +"}[min(i, 1)]
		header = append(header, o.Title)
	}
	table := newTable(2, header...)
	row := func(connector, environment string, c Counts) {
		cells := []string{cmp.Or(connector, "(none)"), cmp.Or(environment, "-"), number(c.Read)}
		for _, o := range present {
			cells = append(cells, number(o.of(c)))
		}
		table.row(cells...)
	}
	for _, c := range r.Connectors {
		row(c.Connector, c.Environment, c.Counts)
	}
	if len(r.Connectors) != 1 {
		row("all", "", r.Counts)
	}
	table.print(t)
	if r.Remaining.Rows > 0 {
		t.line("about %s were not reached", count(r.Remaining.Rows, "row"))
	}
	if len(r.Totals) > 0 {
		t.line("tokens in the checkpoint, over all runs: %s", r.totals())
	}
}

// totals writes the counts over all runs: "20 failed, 12,305 imported".
func (r *Report) totals() string {
	var parts []string
	for _, outcome := range slices.Sorted(maps.Keys(r.Totals)) {
		parts = append(parts, number(r.Totals[outcome])+" "+outcome)
	}
	return strings.Join(parts, ", ")
}

func (r *Report) textReasons(t *text) {
	missing, left := r.reasonCounts()
	if len(missing)+len(left) == 0 {
		return
	}
	t.line("")
	table := newTable(1, "reason", "rows", "what to do")
	table.left = 2
	for _, c := range append(missing, left...) {
		table.row(c.Code, number(c.Rows), c.Remedy)
	}
	table.print(t)
}

// textSamples is how many failures the text lists; the others are in the JSON
// form and in `failures`.
const textSamples = 10

// samples returns up to n failures, of each reason in turn.
func (r *Report) samples(n int) []Failure {
	byReason := make(map[string][]Failure)
	var codes []string
	for _, f := range r.Failures {
		if len(byReason[f.Reason]) == 0 {
			codes = append(codes, f.Reason)
		}
		byReason[f.Reason] = append(byReason[f.Reason], f)
	}
	var list []Failure
	for turn := 0; len(list) < min(n, len(r.Failures)); turn++ {
		for _, code := range codes {
			if turn < len(byReason[code]) && len(list) < n {
				list = append(list, byReason[code][turn])
			}
		}
	}
	slices.SortStableFunc(list, func(a, b Failure) int {
		return cmp.Compare(slices.Index(codes, a.Reason), slices.Index(codes, b.Reason))
	})
	return list
}

func (r *Report) textFailures(t *text) {
	if len(r.Failures) == 0 {
		return
	}
	t.line("")
	samples := r.samples(textSamples)
	subjects := slices.ContainsFunc(samples, func(f Failure) bool { return f.Subject != "" })
	header := []string{"key", "connector", "reason", "detail"}
	if subjects {
		header = slices.Insert(header, 1, "subject")
	}
	table := newTable(len(header), header...)
	for _, f := range samples {
		cells := []string{f.Key, cmp.Or(f.Connector, "(none)"), f.Reason, f.Detail}
		if subjects {
			cells = slices.Insert(cells, 1, f.Subject)
		}
		table.row(cells...)
	}
	table.print(t)
	if n := len(r.Failures) - len(samples); n > 0 {
		t.line("and %s others; %s", r.moreFailures(n), r.whereFailures())
	}
}

// moreFailures writes how many failures there are beside those that are shown,
// of which n are in the report. Where that is full, the reasons tell how many there
// are in all, but for rows that are gone from the source.
func (r *Report) moreFailures(n int) string {
	var all int64
	for _, rows := range r.Reasons {
		all += rows
	}
	switch more := all - int64(len(r.Failures)-n); {
	case len(r.Failures) < MaxFailures:
		return number(int64(n))
	case more > int64(n):
		return number(more)
	}
	return number(int64(n)) + " or more"
}

func (r *Report) whereFailures() string {
	if r.Mode == "dry-run" {
		return "--report FILE.json lists up to " + number(MaxFailures)
	}
	return "tokenmigrate failures lists them all"
}

func (r *Report) textForecast(t *text) {
	if r.Counts.Pending == 0 {
		return
	}
	if len(r.Expiry) > 0 {
		t.line("")
		table := newTable(1, "access token expires", "with refresh token", "without")
		for _, e := range r.spans() {
			table.row(spanTitle(e.UpTo), number(e.WithRefresh), number(e.WithoutRefresh))
		}
		table.print(t)
		if n := r.dying(); n > 0 {
			t.line("a token that dies before it is sent is a user who must consent again: up to %s", number(n))
		}
	}
	t.line("")
	table := newTable(0, "tokens a call", "calls", r.timeTitle())
	for _, p := range r.Projection.ByChunkTokens {
		mark := ""
		if p.ChunkTokens == r.Projection.ChunkTokens {
			mark = " (as configured)"
		}
		table.row(strconv.Itoa(p.ChunkTokens), number(p.Calls), duration(p.Seconds)+mark)
	}
	table.left = 2
	table.print(t)
	t.line("%s", r.chunkWords())
}

// timeTitle heads the times that calls take.
func (r *Report) timeTitle() string {
	return "time " + cmp.Or(r.paceWords(), "at the configured pace")
}

// spans returns the expiry without those spans that lie within the time that the
// run takes, for which nothing is left.
func (r *Report) spans() []Expiry {
	long := map[string]float64{"1h": 3600, "24h": 86_400, "7d": 7 * 86_400, "30d": 30 * 86_400}
	return slices.DeleteFunc(slices.Clone(r.Expiry), func(e Expiry) bool {
		end, fixed := long[e.UpTo]
		return fixed && end <= r.Projection.Seconds && e.WithRefresh+e.WithoutRefresh == 0
	})
}

// spanTitle puts a value of ExpirySpans in words.
func spanTitle(upTo string) string {
	switch upTo {
	case "expired":
		return "already"
	case "run":
		return "while the run goes on"
	case "later":
		return "later, or never"
	}
	return "within " + upTo
}

func (r *Report) textCalls(t *text) {
	c := r.Calls
	t.line("")
	t.line("%s carried %s; %s throttled, %s repeated, %s halved, %s sent again", count(c.Made, "call"), count(c.Tokens, "token"),
		number(c.Throttled), number(c.Retried), number(c.Split), count(c.ResentTokens, "token"))
	if b, ok := c.budget(); ok {
		t.line("%s", b.words())
	}
	if waits := r.waits(); len(waits) > 0 {
		var parts []string
		for _, w := range waits {
			parts = append(parts, duration(w.Seconds)+" "+printable(w.Cause))
		}
		t.line("senders waited: %s", strings.Join(parts, ", "))
	}
}

// wait is how long senders waited for one thing, all together.
type wait struct {
	Cause   string
	Seconds float64
}

// waits returns what was waited for, the longest first; less than half a second
// is nothing.
func (r *Report) waits() []wait {
	var list []wait
	for cause, s := range r.Calls.WaitedSeconds {
		if s >= 0.5 {
			list = append(list, wait{waitTitle(cause), s})
		}
	}
	slices.SortFunc(list, func(a, b wait) int {
		return cmp.Or(cmp.Compare(b.Seconds, a.Seconds), cmp.Compare(a.Cause, b.Cause))
	})
	return list
}

// waitTitle puts a cause of waiting in words.
func waitTitle(cause string) string {
	switch cause {
	case "pace":
		return "for the pace"
	case "throttled":
		return "since the endpoint throttled"
	case "paused":
		return "since an operator paused it"
	case "recording":
		return "for the checkpoint to record"
	}
	return "for the " + cause
}

func (r *Report) textNotes(t *text) {
	t.line("")
	if r.Duplicates.Method != "" {
		t.line("%s, found by %s in %s of memory", count(r.Reasons["duplicate"], "duplicate"), r.Duplicates.Method, size(r.Duplicates.Bytes))
	}
	s := r.Store
	values := ""
	if s.Encrypted+s.Plain > 0 {
		values = fmt.Sprintf(": %s encrypted, %s plain", count(s.Encrypted, "value"), number(s.Plain))
	}
	t.line("the source was read as %s%s", printable(cmp.Or(s.Name, "a query")), values)
}
