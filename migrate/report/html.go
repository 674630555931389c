package report

import (
	"cmp"
	"crypto/sha256"
	_ "embed" // the page's parts
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// HTMLOptions is how a page differs from a report that is read once. The zero
// HTMLOptions is such a report.
type HTMLOptions struct {
	// Refresh lets the page load itself anew, from where it came, in whole seconds;
	// 0: it stays as it is.
	Refresh time.Duration
	// AsOf is when the report was made, told beside Refresh; zero: it is not told.
	AsOf time.Time
}

// Bounds of the page's parts. Failures get what is left of maxPage, which the
// others leave most of, whatever a report holds.
const (
	maxPage   = 1<<20 - 1<<10
	maxPlaces = 200 // connectors and environments in lines of their own
	maxRuns   = 100 // shards
	maxCards  = 40  // reasons
	maxNotes  = 20  // warnings

	// Bytes of texts from outside, which may grow to five times as many escaped.
	maxText = 1_000
	maxName = 100
	maxCell = 2_000 // of a failure
)

var (
	//go:embed page.tmpl
	pageText string
	//go:embed page.css
	pageCSS string

	pageTemplate = template.Must(template.New("page").Parse(pageText))
)

// WriteHTML writes the report as one page that holds all it needs: no script, and
// nothing from elsewhere, which its content security policy makes sure of. It
// is below 1 MiB; of long lists it shows a part and says so.
func (r *Report) WriteHTML(w io.Writer, o HTMLOptions) error {
	p := r.page(o)
	if len(r.Failures) > 0 {
		var without counter
		if err := pageTemplate.Execute(&without, p); err != nil {
			return err
		}
		p.Failures = r.failuresPart(maxPage - int(without))
		p.Subjects = p.Failures.Subjects
	}
	return pageTemplate.Execute(w, p)
}

// counter counts what is written to it.
type counter int

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

// page is what the template shows. Texts are plain; the template escapes them.
type page struct {
	CSS           template.CSS
	Policy        string
	Refresh       int // seconds; 0: none
	AsOf          string
	Kind          string
	Part, Shards  string // what stands before and after the migration's name
	Migration     string
	When          string
	Level         Level
	Head, Tail    string // the verdict; Head is what it begins with, up to a colon or comma
	Warnings      []string
	Tiles         []tile
	Dry, Subjects bool
	Counts        countsPart
	Missing       []reasonCard
	MissingWords  string
	LeftOut       []reasonCard
	Failures      *failuresPart
	Expiry        *chartPart
	Duplicates    []string
	Projection    *chartPart
	Progress      *progressPart
	Runs          *runsPart
	Store         []string
	Foot          string
}

type tile struct{ Name, Value, Small string }

func (r *Report) page(o HTMLOptions) *page {
	v := r.Verdict()
	p := &page{
		CSS: template.CSS(pageCSS), Policy: contentPolicy(), //nolint:gosec // our own file
		Kind: r.title(), Migration: outside(r.Migration, maxText), When: r.when(), Level: v.Level,
		Dry: r.Mode == "dry-run", Warnings: cutAll(r.warnings()), Tiles: r.tiles(), Counts: r.countsPart(),
		Runs: r.runsPart(), Store: r.storeWords(), Foot: r.foot(),
	}
	if o.Refresh > 0 {
		p.Refresh = max(int(o.Refresh/time.Second), 1)
		if !o.AsOf.IsZero() {
			p.AsOf = o.AsOf.UTC().Format("15:04:05") + " UTC"
		}
	}
	p.Head, p.Tail = headOf(outside(v.Sentence, maxText))
	p.Part, p.Shards = r.part()
	missing, left := r.reasonCounts()
	p.Missing, p.LeftOut = r.cards(missing), r.cards(left)
	if bad, _ := r.standsInTheWay(); bad > 0 || len(missing) > 0 || !p.Dry && r.Counts.Pending > 0 {
		p.MissingWords = r.missingWords()
	}
	if p.Dry {
		p.Duplicates = r.duplicateWords()
		if r.Counts.Pending > 0 {
			p.Expiry, p.Projection = r.expiryPart(), r.projectionPart()
		}
	} else {
		p.Progress = r.progressPart()
	}
	return p
}

// contentPolicy allows the page its own style and nothing else.
func contentPolicy() string {
	sum := sha256.Sum256([]byte(pageCSS))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; img-src data:; base-uri 'none'; form-action 'none'"
}

// headOf splits a sentence after its first words, which the page colours.
func headOf(s string) (head, tail string) {
	if i := strings.IndexAny(s, ":,;."); i > 0 && i < 30 && !strings.ContainsAny(s[:1], "0123456789") {
		return s[:i+1], s[i+1:]
	}
	return "", s
}

// cut shortens a text from outside to at most n bytes, at a rune's end.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// outside is a text from outside as the page shows it: signs that are not seen, or
// that turn the text around them, are spelled out, and it is cut to n bytes.
func outside(s string, n int) string { return cut(printable(s), n) }

func cutAll(list []string) []string {
	var out []string
	for _, s := range list[:min(len(list), maxNotes)] {
		out = append(out, outside(s, maxText))
	}
	if n := len(list) - len(out); n > 0 {
		out = append(out, fmt.Sprintf("there are %s more", number(int64(n))))
	}
	return out
}

func (r *Report) when() string {
	if r.StartedAt.IsZero() {
		return ""
	}
	text := clock(r.StartedAt)
	if r.FinishedAt != nil {
		text += ", took " + duration(max(r.FinishedAt.Sub(r.StartedAt).Seconds(), 0))
	}
	return text
}

// clock writes a time for people: 1 October 2026, 12:00:05 UTC.
func clock(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04:05 UTC") }

func (r *Report) tiles() []tile {
	c := r.Counts
	bad := c.Failed + c.Invalid + c.Unknown
	rows := tile{"Rows read", number(c.Read), ""}
	if r.Remaining.Rows > 0 {
		rows.Small = "about " + number(r.Remaining.Rows) + " not reached"
	}
	if r.Mode == "dry-run" {
		return []tile{
			rows,
			{"Would be sent", number(c.Pending), share(c.Pending, c.Read)},
			{"Cannot be imported", number(bad), share(bad, c.Read)},
			{"Calls", number(r.Projection.Calls), fmt.Sprintf("of up to %s", count(int64(r.Projection.ChunkTokens), "token"))},
			{"Time", duration(r.Projection.Seconds), r.paceWords()},
		}
	}
	list := []tile{
		rows,
		{"Imported", number(c.Imported), alsoBefore(c.Unchanged)},
		{"Not imported", number(bad + c.Pending), pendingWords(c.Pending)},
		{"Calls", number(r.Calls.Made), fmt.Sprintf("%s throttled, %s repeated", number(r.Calls.Throttled), number(r.Calls.Retried))},
	}
	switch left := r.SecondsLeft(); {
	case r.FinishedAt == nil && r.StoppedBy == "" && left > 0:
		list = append(list, tile{"Time left, about", duration(left), r.paceWords()})
	case r.FinishedAt != nil:
		list = append(list, tile{"Time", duration(max(r.FinishedAt.Sub(r.StartedAt).Seconds(), 0)), r.paceWords()})
	}
	return list
}

func alsoBefore(n int64) string {
	if n == 0 {
		return ""
	}
	return "and " + number(n) + " before"
}

func pendingWords(n int64) string {
	if n == 0 {
		return ""
	}
	return number(n) + " of these pending"
}

func (r *Report) paceWords() string {
	switch p := r.Pace; {
	case p.RequestsPerMinute <= 0:
		return ""
	case p.Current > 0 && math.Abs(p.Current-p.RequestsPerMinute) > 0.005:
		return fmt.Sprintf("at %s calls a minute of %s", decimal(p.Current), decimal(p.RequestsPerMinute))
	default:
		return fmt.Sprintf("at %s calls a minute", decimal(p.RequestsPerMinute))
	}
}

// share writes part as a percentage of whole; one that is neither none nor all
// is never told as 0 % or 100 %.
func share(part, whole int64) string {
	if whole == 0 {
		return ""
	}
	f := 100 * float64(part) / float64(whole)
	switch {
	case part == 0:
		return "0%"
	case part == whole:
		return "100%"
	case f < 0.1:
		return "less than 0.1%"
	case f > 99.9:
		return "more than 99.9%"
	}
	return strconv.FormatFloat(f, 'f', 1, 64) + "%"
}

type reasonCard struct {
	Outcome, Code, Rows, What, Remedy, Command string
	Samples                                    []string
}

func (r *Report) cards(list []reasonCount) []reasonCard {
	var out []reasonCard
	for _, c := range list[:min(len(list), maxCards)] {
		card := reasonCard{c.Outcome, outside(c.Code, maxName), count(c.Rows, "row"), sentence(c.What), c.Remedy, r.failuresCommand(c.Code), nil}
		for _, key := range c.Samples {
			card.Samples = append(card.Samples, outside(key, maxName))
		}
		out = append(out, card)
	}
	return out
}

// sentence lets a clause begin with a capital.
func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// failuresCommand lists the keys of a reason of which none is in the report.
func (r *Report) failuresCommand(code string) string {
	if _, ok := reasons[code]; !ok || r.Mode == "dry-run" {
		return ""
	}
	return "tokenmigrate failures --reason " + code
}

func (r *Report) missingWords() string {
	c := r.Counts
	bad := c.Failed + c.Invalid + c.Unknown
	text := fmt.Sprintf("%s of %s %s.", number(bad), count(c.Read, "row"), map[bool]string{true: "cannot be imported", false: "not imported"}[r.Mode == "dry-run"])
	if r.Mode != "dry-run" {
		text = fmt.Sprintf("%s of %s.", are(bad, "row")+" not imported, out", count(c.Read, "row"))
		if c.Pending > 0 {
			text += " " + r.pendingSentence("A further ")
			if bad == 0 {
				text = r.pendingSentence("")
			}
		}
	}
	if r.ExitCode != nil && *r.ExitCode == 3 {
		text += " That is more than policy.max_failed allows."
	}
	return text
}

// pendingSentence says, after a beginning, what becomes of the pending rows.
func (r *Report) pendingSentence(begin string) string {
	text := begin + are(r.Counts.Pending, "row") + " pending: "
	if r.FinishedAt == nil && r.StoppedBy == "" {
		return text + "not sent yet."
	}
	text += "not sent in this run"
	if r.InDoubt != nil {
		text += fmt.Sprintf(", or among the %s in doubt", count(r.InDoubt.Tokens, "token"))
	}
	text += ". "
	names := r.refusing()
	var held int64
	for _, c := range r.Connectors {
		if slices.Contains(names, c.Connector) {
			held += c.Pending
		}
	}
	switch {
	case len(names) > 0 && held < r.Counts.Pending:
		return text + fmt.Sprintf("%s of them wait until %s no longer refuses calls; the next run sends the others.", number(held), r.refusingWords())
	case len(names) > 0:
		return text + fmt.Sprintf("The next one sends them once %s no longer refuses calls.", r.refusingWords())
	case r.ExitCode != nil && *r.ExitCode == 4:
		return text + "The next one sends them once the endpoint no longer refuses calls."
	}
	return text + "The next one sends them."
}

type failuresPart struct {
	Summary, Caption string
	Subjects         bool
	Rows             []Failure
}

// failuresPart lists the failures that have room in so many bytes.
func (r *Report) failuresPart(room int) *failuresPart {
	p := &failuresPart{}
	const markup = 180 // bytes of one row's, at most; and of what lies around all rows
	room -= 4 * markup
	for _, f := range r.Failures[:min(len(r.Failures), MaxFailures)] {
		f.Key, f.Connector, f.Reason = outside(f.Key, maxCell), outside(cmp.Or(f.Connector, "(none)"), maxCell), outside(f.Reason, maxCell)
		f.Detail, f.Subject = outside(f.Detail, maxCell), outside(f.Subject, maxCell)
		room -= markup + len(template.HTMLEscapeString(f.Key+f.Connector+f.Reason+f.Detail+f.Subject))
		if room < 0 {
			break
		}
		p.Rows = append(p.Rows, f)
		p.Subjects = p.Subjects || f.Subject != ""
	}
	var rows int64
	for _, n := range r.Reasons {
		rows += n
	}
	shown := int64(len(p.Rows))
	p.Summary = fmt.Sprintf("All %s, one by one", count(shown, "row"))
	p.Caption = "Every row that is not imported, those left out on purpose among them"
	if shown < max(rows, int64(len(r.Failures))) {
		p.Summary = number(shown) + " of them, one by one"
		p.Caption = "Rows that are not imported; " + r.whereFailures()
	}
	return p
}

func (r *Report) duplicateWords() []string {
	n := r.Reasons["duplicate"]
	if r.Duplicates.Method == "" {
		return []string{"Duplicates were not looked for: two rows for the same subject are both sent, as policy.duplicates says."}
	}
	words := []string{"No two rows are for the same subject."}
	if n > 0 {
		words[0] = fmt.Sprintf("%s for a subject that an earlier row is for as well. The earlier one is sent; these are not, and stand above as duplicate.", are(n, "row"))
	}
	return append(words, fmt.Sprintf("They were looked for among all rows that would be sent, by %s of 8 bytes each, which took %s of memory.", outside(r.Duplicates.Method, maxName), size(r.Duplicates.Bytes)))
}

func (r *Report) storeWords() []string {
	s := r.Store
	name := "The source was read with a query of your own."
	if s.Name != "" {
		name = "The source was read as " + outside(s.Name, maxName) + "."
	}
	values := "No value in it was encrypted by an application."
	switch {
	case s.Encrypted > 0 && s.Plain == 0:
		values = fmt.Sprintf("All of its %s were encrypted and could be told.", count(s.Encrypted, "value"))
	case s.Encrypted > 0:
		values = fmt.Sprintf("%s encrypted, and %s in the clear although the store may encrypt them.", are(s.Encrypted, "value")+" kept", number(s.Plain))
	case s.Plain > 0:
		values = fmt.Sprintf("%s in the clear, although the store may encrypt them.", are(s.Plain, "value")+" kept")
	}
	words := []string{name, values}
	if len(s.Warnings) == 0 {
		return append(words, "It gave no warnings.")
	}
	return append(words, "Its warnings stand at the top of this page.")
}

type runsPart struct {
	Words      string // what is wrong with them
	Rows       []runRow
	Done, Left string // of all, where there are several
	Others     string
}

// short is a time in a table.
const short = "2 Jan, 15:04:05"

type runRow struct{ Shard, Run, State, Done, Left, Started, Heard, Words, Version string }

func (r *Report) runsPart() *runsPart {
	if len(r.Runs) == 0 {
		return nil
	}
	p := &runsPart{}
	if words := r.ShardTrouble(); words != "" && r.inShards() {
		p.Words = outside(sentence(words), maxText) + "."
	}
	for _, run := range r.neediest(maxRuns) {
		row := runRow{
			Shard: strconv.Itoa(run.Shard), Run: strconv.FormatInt(run.Run, 10), State: run.State, Done: number(run.Done), Left: number(run.Left),
			Started: run.StartedAt.UTC().Format(short), Heard: run.HeartbeatAt.UTC().Format(short), Words: outside(run.LastError, 2*maxName), Version: outside(run.Version, maxName/2),
		}
		switch {
		case run.State == Missing:
			row.State, row.Run, row.Started, row.Heard = "never started", "–", "–", "–"
		case run.ExitCode != nil:
			row.State += ", exit code " + strconv.Itoa(*run.ExitCode)
		case run.State == Running && run.Waiting != "":
			row.Words = outside(run.Waiting, 2*maxName)
		}
		p.Rows = append(p.Rows, row)
	}
	if len(r.Runs) > 1 {
		done, left := r.doneAndLeft()
		p.Done, p.Left = number(done), number(left)
	}
	if n := len(r.Runs) - len(p.Rows); n > 0 {
		p.Others = fmt.Sprintf("And %s more.", count(int64(n), "shard"))
	}
	return p
}

// exitWords says what an exit code means.
var exitWords = map[int]string{
	0: "finished, and no more are missing than policy.max_failed allows", 1: "an unexpected error", 3: "more tokens than policy.max_failed are not imported",
	4: "the endpoint refuses", 5: "a database or the endpoint stayed unavailable; the same command goes on from here",
	6: "another worker holds the lease", 75: "stopped by a signal with work left; the same command goes on from here",
	78: "usage, configuration or privileges",
}

func (r *Report) foot() string {
	text := "No exit code yet."
	if r.ExitCode != nil {
		text = fmt.Sprintf("Exit code %d", *r.ExitCode)
		if words, ok := exitWords[*r.ExitCode]; ok {
			text += ": " + words
		}
		text += "."
	}
	if len(r.Totals) > 0 {
		text += " In the checkpoint, over all runs: " + outside(r.totals(), maxText) + "."
	}
	if !r.StartedAt.IsZero() {
		text += " Started " + clock(r.StartedAt)
		if r.FinishedAt != nil {
			text += ", finished " + clock(*r.FinishedAt)
		}
		text += "."
	}
	return text
}
