package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteText writes the report for a terminal: one sentence first, then counts
// that visibly add up, reasons, failures and calls. It uses no colour.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of migration %s: %s\n", r.title(), r.Migration, r.Sentence())
	for _, warning := range append(slices.Clone(r.Warnings), r.Store.Warnings...) {
		fmt.Fprintf(&b, "warning: %s\n", warning)
	}
	b.WriteByte('\n')
	r.writeCounts(&b)
	r.writeReasons(&b)
	r.writeFailures(&b)
	r.writeExpiry(&b)
	r.writeProjection(&b)
	r.writeCalls(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) title() string {
	if r.Mode == "dry-run" {
		return "Dry run"
	}
	return "Run"
}

// Sentence says in one sentence how it ended, or what stands in the way.
func (r *Report) Sentence() string {
	c := r.Counts
	bad := c.Failed + c.Invalid + c.Unknown
	switch {
	case r.FinishedAt == nil && r.StoppedBy == "":
		return fmt.Sprintf("under way, %s of %s rows done.", number(c.Read-c.Pending), number(c.Read+r.Remaining.Rows))
	case r.StoppedBy == "error" && r.FinishedAt == nil:
		return fmt.Sprintf("%s of about %s rows done; %s.", number(c.Read-c.Pending), number(c.Read+r.Remaining.Rows), r.Error)
	case r.StoppedBy == "error":
		return "stopped by an error: " + r.Error
	case r.StoppedBy == "signal":
		return fmt.Sprintf("stopped by a signal with work left, %s imported; the same command goes on from here.", number(c.Imported))
	case c.Read == 0:
		return "the source has no rows. Is this the right query, and may the role see its rows?"
	case r.Mode == "dry-run" && c.Pending == 0:
		return fmt.Sprintf("nothing would be sent; %s of %s rows are imported already and %s cannot be.", number(c.Unchanged), number(c.Read), number(bad))
	case r.Mode == "dry-run" && bad == 0:
		return fmt.Sprintf("good to go: %s of %s rows would be sent in %s, taking about %s.",
			number(c.Pending), number(c.Read), count(r.Projection.Calls, "call"), duration(r.Projection.Seconds))
	case r.Mode == "dry-run":
		return fmt.Sprintf("%s of %s rows would be sent in %s, taking about %s; %s stand in the way (see the reasons).",
			number(c.Pending), number(c.Read), count(r.Projection.Calls, "call"), duration(r.Projection.Seconds), number(bad))
	case r.StoppedBy == "limit":
		return fmt.Sprintf("reached its --limit: %s imported, %s not sent; run it without --limit for the rest.", number(c.Imported), number(c.Pending))
	case bad+c.Pending > 0:
		return fmt.Sprintf("finished: %s imported now, %s before; %s not imported (see the reasons).", number(c.Imported), number(c.Unchanged), number(bad+c.Pending))
	}
	return fmt.Sprintf("finished: %s imported now, %s before, none missing.", number(c.Imported), number(c.Unchanged))
}

func (r *Report) writeCounts(b *strings.Builder) {
	pending := "pending"
	if r.Mode == "dry-run" {
		pending = "to send"
	}
	t := newTable(b, "connector", "environment", "rows =", "imported +", "unchanged +", "failed +", "invalid +", "skipped +", "unknown +", pending)
	row := func(connector, environment string, c Counts) {
		t.row(cmp.Or(connector, "(none)"), cmp.Or(environment, "-"), number(c.Read), number(c.Imported), number(c.Unchanged),
			number(c.Failed), number(c.Invalid), number(c.Skipped), number(c.Unknown), number(c.Pending))
	}
	for _, c := range r.Connectors {
		row(c.Connector, c.Environment, c.Counts)
	}
	row("all", "", r.Counts)
	t.flush()
	if r.Remaining.Rows > 0 {
		fmt.Fprintf(b, "about %s rows were not reached\n", number(r.Remaining.Rows))
	}
	if len(r.Totals) > 0 {
		var parts []string
		for _, outcome := range slices.Sorted(maps.Keys(r.Totals)) {
			parts = append(parts, number(r.Totals[outcome])+" "+outcome)
		}
		fmt.Fprintf(b, "tokens in the checkpoint, over all runs: %s\n", strings.Join(parts, ", "))
	}
}

// reasonWords explains each reason code in a few words, with the remedy.
var reasonWords = map[string]string{
	"refused":              "the endpoint answered succeeded: false; --retry-failed sends it again",
	"rejected":             "the endpoint refuses a call with this token alone; see what it said",
	"unavailable":          "attempts were used up while other calls succeeded; run again",
	"missing_access_token": "the column is empty; the user must consent again",
	"missing_subject":      "nobody to import it for; fill subject_id",
	"missing_expiry":       "no known expiry; set source.missing_expiry to send it all the same",
	"invalid_expiry":       "neither a time nor a number",
	"invalid_environment":  "use development, preview, production or env_...",
	"unknown_provider":     "add the provider to destination.connectors, or skip it there",
	"invalid_field":        "a value that the import schema cannot hold",
	"decrypt_failed":       "the value cannot be opened with the keys given",
	"too_large":            "the token alone is larger than send.chunk_bytes",
	"duplicate":            "another row is for the same subject; policy.duplicates: send sends both",
	"expired":              "the access token is expired and cannot be refreshed; the user must consent again",
	"changed":              "imported before, changed since; policy.changed: send sends it",
	"excluded":             "left out on purpose",
	"in_doubt":             "sent, and the answer never came; policy.in_doubt decides",
	"unmatched":            "the answer did not name it, twice; run again",
}

// Reasons returns the reason codes that every migration may have, sorted. A store
// may add some of its own.
func Reasons() []string { return slices.Sorted(maps.Keys(reasonWords)) }

func (r *Report) writeReasons(b *strings.Builder) {
	if len(r.Reasons) == 0 {
		return
	}
	b.WriteByte('\n')
	t := newTable(b, "reason", "rows", "what to do")
	codes := slices.SortedFunc(maps.Keys(r.Reasons), func(x, y string) int {
		return cmp.Or(cmp.Compare(r.Reasons[y], r.Reasons[x]), cmp.Compare(x, y))
	})
	for _, code := range codes {
		t.row(code, number(r.Reasons[code]), reasonWords[code])
	}
	t.flush()
}

// textFailures is how many failures the text lists; the others are in the JSON
// form and in `failures`.
const textFailures = 10

func (r *Report) writeFailures(b *strings.Builder) {
	if len(r.Failures) == 0 {
		return
	}
	b.WriteByte('\n')
	t := newTable(b, "key", "connector", "reason", "detail")
	for _, f := range r.Failures[:min(len(r.Failures), textFailures)] {
		t.row(f.Key, cmp.Or(f.Connector, "(none)"), f.Reason, f.Detail)
	}
	t.flush()
	if n := len(r.Failures) - textFailures; n > 0 {
		more := number(int64(n))
		if len(r.Failures) == MaxFailures {
			more += " or more"
		}
		where := "`tokenmigrate failures` lists them all"
		if r.Mode == "dry-run" {
			where = "a --report file lists up to " + number(MaxFailures)
		}
		fmt.Fprintf(b, "and %s others; %s\n", more, where)
	}
}

func (r *Report) writeExpiry(b *strings.Builder) {
	if r.Mode != "dry-run" || r.Counts.Pending == 0 {
		return
	}
	b.WriteByte('\n')
	t := newTable(b, "access token expires within", "with refresh token", "without")
	for _, e := range r.Expiry {
		t.row(e.UpTo, number(e.WithRefresh), number(e.WithoutRefresh))
	}
	t.flush()
}

func (r *Report) writeProjection(b *strings.Builder) {
	if r.Mode != "dry-run" || r.Counts.Pending == 0 {
		return
	}
	b.WriteByte('\n')
	t := newTable(b, "tokens a call", "calls", "time at the configured pace")
	for _, p := range r.Projection.ByChunkTokens {
		t.row(strconv.Itoa(p.ChunkTokens), number(p.Calls), duration(p.Seconds))
	}
	t.flush()
}

func (r *Report) writeCalls(b *strings.Builder) {
	if r.Mode == "dry-run" {
		return
	}
	c := r.Calls
	fmt.Fprintf(b, "\n%s carried %s; %s throttled, %s repeated, %s halved, %s sent again\n",
		count(c.Made, "call"), count(c.Tokens, "token"), number(c.Throttled), number(c.Retried), number(c.Split), count(c.ResentTokens, "token"))
}

// table is a tabwriter with a header row.
type table struct{ w *tabwriter.Writer }

func newTable(b *strings.Builder, header ...string) *table {
	t := &table{tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)}
	t.row(header...)
	return t
}

func (t *table) row(cells ...string) {
	fmt.Fprintln(t.w, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
}
func (t *table) flush() { _ = t.w.Flush() } // writes to a strings.Builder, which cannot fail

// number writes n with separators: 1,234,567.
func number(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// count writes "1 call" or "1,234 calls".
func count(n int64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return number(n) + " " + word + "s"
}

// duration writes seconds as 12s, 3m20s or 5h13m.
func duration(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second)).Round(time.Second)
	if d >= time.Hour {
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return d.String()
}
