package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Explanation is everything known of one row: what the checkpoint has recorded,
// what the source has now, and what the next run makes of it. It holds no
// credential, and no subject id unless that was asked for.
type Explanation struct {
	Version   int    `json:"version"` // of this form; 1
	Migration string `json:"migration"`
	Key       string `json:"key"`
	// Recorded is null where the checkpoint does not know the key.
	Recorded *RecordedToken `json:"recorded"`
	Standing []StandingCall `json:"standing"` // calls that carry it and whose answer is not recorded
	Source   SourceRow      `json:"source"`
	Next     *NextRun       `json:"next"` // null where the source could not be read
	Notes    []string       `json:"notes"`
}

// RecordedToken is what the checkpoint has recorded of a token.
type RecordedToken struct {
	Outcome       string     `json:"outcome"`
	Reason        string     `json:"reason"`
	Detail        string     `json:"detail"`
	Connector     string     `json:"connector"`
	Environment   string     `json:"environment"`
	Succeeded     *bool      `json:"succeeded"`     // the endpoint's last answer; null: it gave none
	Attempts      int        `json:"attempts"`      // calls that carried it
	LastAttemptAt *time.Time `json:"lastAttemptAt"` // when its answer was recorded; null: none, or overtaken by a local outcome
	ImportedAt    *time.Time `json:"importedAt"`    // the last import; null: none
	UpdatedAt     time.Time  `json:"updatedAt"`
	Run           int64      `json:"run"` // that wrote it
	RunStartedAt  *time.Time `json:"runStartedAt"`
	RunVersion    string     `json:"runVersion"`
}

// StandingCall is a call whose answer is not recorded.
type StandingCall struct {
	Run       int64     `json:"run"`
	Connector string    `json:"connector"`
	StartedAt time.Time `json:"startedAt"`
	Over      bool      `json:"over"` // certainly; the next run settles it
}

// States of a row in the source.
const (
	Found = "found"
	Gone  = "gone" // it has no such row, or the configuration's query leaves it out
	Away  = "away" // the source could not be read
)

// SourceRow is what the source has of a row now.
type SourceRow struct {
	State     string `json:"state"`           // Found, Gone or Away
	Error     string `json:"error,omitempty"` // why it is Away
	Connector string `json:"connector"`
	// Fields are what would be sent, in the order of the request; empty where the row
	// cannot be sent.
	Fields []Field `json:"fields"`
	// AsImported and AsSent tell whether this is what was imported, or sent, last;
	// null: nothing was, or there is nothing to compare.
	AsImported *bool `json:"asImported"`
	AsSent     *bool `json:"asSent"`
}

// Field is one field of a token as it would be sent.
type Field struct {
	Name   string `json:"name"` // as in the request: subject.id
	Value  string `json:"value,omitempty"`
	Hidden string `json:"hidden,omitempty"` // why there is no value: credential, or subject
	Bytes  int    `json:"bytes,omitempty"`  // of a hidden credential
}

// NextRun is what the next run makes of a row.
type NextRun struct {
	Sends       bool   `json:"sends"`
	Outcome     string `json:"outcome"` // pending where it is sent
	Reason      string `json:"reason"`
	Detail      string `json:"detail"`
	Why         string `json:"why"` // in words
	Remedy      string `json:"remedy,omitempty"`
	DuplicateOf string `json:"duplicateOf,omitempty"` // the key that its subject belongs to
}

// WriteJSON writes the explanation as one indented JSON object.
func (e *Explanation) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(e)
}

// WriteText writes the explanation for a person. color is for a terminal.
func (e *Explanation) WriteText(w io.Writer, color bool) error {
	t := &text{color: color}
	t.line("Key %s of migration %s: %s", printable(e.Key), printable(e.Migration), t.paint(bold, e.summary()))
	t.line("")
	t.line("%s", t.paint(bold, "In the checkpoint"))
	e.textRecorded(t)
	t.line("")
	t.line("%s", t.paint(bold, "In the source now"))
	e.textSource(t)
	t.line("")
	t.line("%s", t.paint(bold, "In the next run"))
	e.textNext(t)
	for _, note := range e.Notes {
		t.line("  note: %s", printable(note))
	}
	_, err := io.WriteString(w, t.b.String())
	return err
}

// fact writes one line of a part.
func (t *text) fact(name, format string, args ...any) {
	t.line("  %-22s %s", name, printable(fmt.Sprintf(format, args...)))
}

func (e *Explanation) summary() string {
	var parts []string
	switch r := e.Recorded; {
	case r == nil && len(e.Standing) > 0 && !slices.ContainsFunc(e.Standing, func(c StandingCall) bool { return !c.Over }):
		parts = append(parts, "sent, and its answer never came")
	case r == nil && len(e.Standing) > 0:
		parts = append(parts, "on its way, no answer recorded yet")
	case r == nil:
		parts = append(parts, "not sent yet")
	case r.Reason == "":
		parts = append(parts, r.Outcome)
	default:
		parts = append(parts, r.Outcome+", "+r.Reason)
	}
	switch {
	case e.Source.State == Gone:
		parts = append(parts, "its row is gone")
	case e.Next == nil:
		parts = append(parts, "the source cannot be read now")
	case e.Next.Sends:
		parts = append(parts, "the next run sends it")
	default:
		parts = append(parts, "the next run does not send it")
	}
	return strings.Join(parts, "; ")
}

func (e *Explanation) textRecorded(t *text) {
	r := e.Recorded
	if r == nil {
		t.line("  nothing: no run has recorded an outcome of it")
	} else {
		outcome := r.Outcome
		if r.Reason != "" {
			outcome += ", " + r.Reason + ": " + Explain(r.Reason).What
		}
		t.fact("outcome", "%s", outcome)
		if r.Detail != "" {
			t.fact("detail", "%s", r.Detail)
		}
		t.fact("goes to", "%s, %s", orNone(r.Connector), orNone(r.Environment))
		answer := "none on record"
		if r.Succeeded != nil {
			answer = fmt.Sprintf("succeeded: %t", *r.Succeeded)
		}
		t.fact("last answer", "%s", answer)
		t.fact("attempts", "%d%s", r.Attempts, atTime(", the last at ", r.LastAttemptAt))
		t.fact("imported", "%s", orNever(r.ImportedAt))
		t.fact("recorded", "%s by run %d%s", stamp(r.UpdatedAt), r.Run, atTime(" of version "+r.RunVersion+", begun ", r.RunStartedAt))
	}
	for _, c := range e.Standing {
		end := "its answer is awaited"
		if c.Over {
			end = "its answer never came; the next run settles it"
		}
		t.fact("call without answer", "of run %d to %s, begun %s; %s", c.Run, c.Connector, stamp(c.StartedAt), end)
	}
}

func (e *Explanation) textSource(t *text) {
	s := &e.Source
	switch s.State {
	case Away:
		t.line("  it cannot be read: %s", printable(s.Error))
		return
	case Gone:
		t.line("  no row has this key, or source.query and source.where leave it out")
		return
	}
	t.fact("goes to", "%s", orNone(s.Connector))
	if len(s.Fields) == 0 {
		t.line("  the row makes no token that could be sent")
	}
	for _, f := range s.Fields {
		switch f.Hidden {
		case "":
			t.fact(f.Name, "%s", f.Value)
		case "credential":
			t.fact(f.Name, "(hidden, %s)", count(int64(f.Bytes), "byte"))
		default:
			t.fact(f.Name, "(hidden; --show-subjects shows it)")
		}
	}
	if s.AsImported != nil {
		t.line("  %s", compared(*s.AsImported, "imported"))
	} else if s.AsSent != nil {
		t.line("  %s", compared(*s.AsSent, "sent"))
	}
}

func compared(same bool, what string) string {
	if same {
		return "this is what was " + what + " last"
	}
	return "this differs from what was " + what + " last"
}

func (e *Explanation) textNext(t *text) {
	switch n := e.Next; {
	case e.Source.State == Gone:
		t.line("  it is not read, and stays as it is recorded")
	case n == nil:
		t.line("  that is not known while the source cannot be read")
	case n.Sends:
		t.line("  it is sent: %s", printable(n.Why))
	default:
		outcome := n.Outcome
		if n.Reason != "" {
			outcome += ", " + n.Reason
		}
		t.line("  it is not sent (%s): %s", outcome, printable(n.Why))
		if n.Detail != "" && n.Detail != n.Why {
			t.fact("detail", "%s", n.Detail)
		}
		if n.DuplicateOf != "" {
			t.fact("duplicate of", "key %s", n.DuplicateOf)
		}
		if n.Remedy != "" {
			t.fact("what to do", "%s", n.Remedy)
		}
	}
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

func stamp(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05 UTC") }

func orNever(at *time.Time) string {
	if at == nil {
		return "never"
	}
	return stamp(*at)
}

func atTime(before string, at *time.Time) string {
	if at == nil {
		return ""
	}
	return before + stamp(*at)
}
