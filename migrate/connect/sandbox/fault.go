package sandbox

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Kind is one way for an import call to go wrong. Its text is its name on
// the command line.
//
// Kinds are endings or shapes. An ending decides how a call ends: a call plays
// at most one. A shape changes what an answer lists: a call plays each shape
// that falls to it, in the order of Options.Faults, and a shape shows only
// where there is an answer of 2xx.
type Kind string

// The endings.
const (
	// Status answers with the fault's Status. 4xx and 5xx have the documented
	// error body and import nothing unless the fault Imports; 3xx have a
	// Location and import nothing unless the fault Imports; 2xx import and
	// answer as usual but for the status, 204 and 205 without a body.
	Status Kind = "status"
	// EchoCredentials is Status, 400 where none is given, whose message repeats
	// the bearer and the first token's credentials, plain and encoded.
	EchoCredentials Kind = "echo-credentials"
	// Hang reads the body and then says nothing: until the client leaves or the
	// server closes, or, with a Delay, so long, whereupon the call ends as if
	// nothing had been.
	Hang Kind = "hang"
	// ResetBeforeBody resets the connection once the headers have arrived.
	ResetBeforeBody Kind = "reset-before-body"
	// ResetInBody resets the connection when half of the body was read.
	ResetInBody Kind = "reset-in-body"
	// ResetAfterBody resets the connection when the body was read, and imports
	// nothing.
	ResetAfterBody Kind = "reset-after-body"
	// ResetAfterImport imports, and then resets the connection.
	ResetAfterImport Kind = "reset-after-import"
	// ResetInAnswer imports, and resets the connection after half the answer.
	ResetInAnswer Kind = "reset-in-answer"
	// CutBody imports, and closes the connection in order after half the
	// answer: the body is shorter than its Content-Length.
	CutBody Kind = "cut-body"
	// EmptyBody imports, and answers 200 with no byte of body.
	EmptyBody Kind = "empty-body"
	// NotJSON imports, and answers 200 with a page of HTML.
	NotJSON Kind = "not-json"
	// OtherJSON imports, and answers 200 with JSON of quite another shape.
	OtherJSON Kind = "other-json"
	// SlowBody imports, and lets the right answer trickle over Delay, 2 s where
	// none is given.
	SlowBody Kind = "slow-body"
	// LargeBody imports, and answers rightly with N bytes of an unknown field
	// in front, 100 MiB where none are given.
	LargeBody Kind = "large-body"
)

// The shapes.
const (
	// Shuffled lists the results in another order.
	Shuffled Kind = "shuffled"
	// TruncatedResults lists only the first half of the results.
	TruncatedResults Kind = "truncated-results"
	// MissingResults leaves out about a third of the results, at least one.
	MissingResults Kind = "missing-results"
	// NoResults lists no results at all.
	NoResults Kind = "no-results"
	// RepeatedResults lists about a third of the results, at least one, twice.
	RepeatedResults Kind = "repeated-results"
	// ContradictingResults is RepeatedResults whose second copy says the
	// opposite of the first.
	ContradictingResults Kind = "contradicting-results"
	// ExtraResults adds a result for a subject that was not sent.
	ExtraResults Kind = "extra-results"
	// ForeignResults names, in about a third of the results, at least one, a
	// subject that was not sent; their number stays right.
	ForeignResults Kind = "foreign-results"
	// WithoutSubject leaves the subject out of every result.
	WithoutSubject Kind = "without-subject"
	// WithoutSucceeded leaves succeeded out of every result.
	WithoutSucceeded Kind = "without-succeeded"
	// SucceededAsText says "true" and "false", in quotes, in every result.
	SucceededAsText Kind = "succeeded-as-text"
	// MiscountedImported makes the answer's imported differ by one from the
	// results that say true.
	MiscountedImported Kind = "miscounted-imported"
	// BareResults leaves out all that the reference does not require.
	BareResults Kind = "bare-results"
	// NovelFields adds fields that the reference does not know.
	NovelFields Kind = "novel-fields"
	// SilentLimit imports only the first N tokens of a call and answers as if
	// the others had not been sent.
	SilentLimit Kind = "silent-limit"
	// SilentLimitRefused imports only the first N tokens of a call and answers
	// for the others that they did not succeed.
	SilentLimitRefused Kind = "silent-limit-refused"
)

// kindInfo is what the code and --help know of a kind.
type kindInfo struct {
	kind  Kind
	shape bool   // else an ending
	early bool   // played before the body is read to its end
	arg   string // what its argument is on the command line; empty: it has none
	help  string
}

var kinds = []kindInfo{
	{kind: EchoCredentials, arg: "STATUS", help: "an error that repeats credentials of its call"},
	{kind: Hang, arg: "DURATION", help: "no answer, for so long or until the client leaves"},
	{kind: ResetBeforeBody, early: true, help: "TCP reset before the body is read"},
	{kind: ResetInBody, early: true, help: "TCP reset in the middle of the body"},
	{kind: ResetAfterBody, help: "TCP reset after the body, nothing imported"},
	{kind: ResetAfterImport, help: "imported, then a TCP reset instead of the answer"},
	{kind: ResetInAnswer, help: "imported, then a TCP reset in the middle of the answer"},
	{kind: CutBody, help: "imported, half the answer, then end of connection"},
	{kind: EmptyBody, help: "imported, then 200 without a body"},
	{kind: NotJSON, help: "imported, then 200 with HTML"},
	{kind: OtherJSON, help: "imported, then 200 with JSON of another shape"},
	{kind: SlowBody, arg: "DURATION", help: "imported, then an answer that trickles (default 2s)"},
	{kind: LargeBody, arg: "BYTES", help: "imported, then an answer of so many bytes more (default 104857600)"},
	{kind: Shuffled, shape: true, help: "results in another order"},
	{kind: TruncatedResults, shape: true, help: "only the first half of the results"},
	{kind: MissingResults, shape: true, help: "a third of the results left out"},
	{kind: NoResults, shape: true, help: "no results"},
	{kind: RepeatedResults, shape: true, help: "a third of the results listed twice"},
	{kind: ContradictingResults, shape: true, help: "a third of the results listed twice, saying yes and no"},
	{kind: ExtraResults, shape: true, help: "one result more, for a subject that was not sent"},
	{kind: ForeignResults, shape: true, help: "a third of the results name a subject that was not sent"},
	{kind: WithoutSubject, shape: true, help: "results without subject"},
	{kind: WithoutSucceeded, shape: true, help: "results without succeeded"},
	{kind: SucceededAsText, shape: true, help: "succeeded in quotes"},
	{kind: MiscountedImported, shape: true, help: "imported off by one"},
	{kind: BareResults, shape: true, help: "required fields only"},
	{kind: NovelFields, shape: true, help: "fields that the reference does not know"},
	{kind: SilentLimit, shape: true, arg: "N", help: "only the first N tokens of a call are imported and answered"},
	{kind: SilentLimitRefused, shape: true, arg: "N", help: "only the first N tokens of a call are imported, the others refused"},
}

// mayImport reports whether the kind may import or not, as its fault says.
func (k Kind) mayImport() bool { return k == Status || k == EchoCredentials || k == Hang }

func infoOf(k Kind) (kindInfo, bool) {
	if k == Status {
		return kindInfo{kind: Status, arg: "RETRY-AFTER"}, true
	}
	i := slices.IndexFunc(kinds, func(in kindInfo) bool { return in.kind == k })
	if i < 0 {
		return kindInfo{}, false
	}
	return kinds[i], true
}

// A Fault is a kind, its details, and the calls that it falls to. Faults fall
// to import calls that the credential, the connector and the rate limit let
// through; these are counted from 1, for the whole server.
type Fault struct {
	Kind Kind

	Status     int           // of Status and EchoCredentials; 200 to 599
	Imports    bool          // Status, EchoCredentials, Hang: the call imports all the same
	RetryAfter string        // of Status: the header's value as it is; empty: no header
	Location   string        // of Status 3xx; empty: a path of this server, where a visit is audited
	Body       string        // of Status from 300 on: instead of the documented error body
	N          int           // of SilentLimit, SilentLimitRefused: tokens; of LargeBody: bytes
	Delay      time.Duration // of Hang and SlowBody

	// Which calls: all that meet at least one of these; all calls where none
	// is given. The shares of endings are of one whole and may not exceed it;
	// the shares of shapes are independent. What falls to a call depends on
	// nothing but Options.Seed and the call's number.
	Share float64 // of all calls, 0 to 1
	Every int     // each n-th call
	Calls []int   // the calls of these numbers

	// And of those only:
	Times     int    // the first so many; 0: all
	Connector string // calls to this connector
	Subject   string // calls with a token of this subject id; not for kinds that come before the body
}

// String returns the fault as ParseFault reads it, without Times, Connector,
// Subject, Location and Body.
func (f Fault) String() string {
	var when []string
	if f.Share > 0 {
		when = append(when, strconv.FormatFloat(f.Share*100, 'g', 6, 64)+"%")
	}
	if f.Every > 0 {
		when = append(when, "1/"+strconv.Itoa(f.Every))
	}
	for _, n := range f.Calls {
		when = append(when, "#"+strconv.Itoa(n))
	}
	if len(when) == 0 {
		return f.name()
	}
	return f.name() + "=" + strings.Join(when, ",")
}

// name is the fault without its calls, as audits and logs tell it.
func (f Fault) name() string {
	name := string(f.Kind)
	switch {
	case f.Kind == Status:
		name = strconv.Itoa(f.Status)
		if f.RetryAfter != "" {
			name += ":" + f.RetryAfter
		}
	case f.Kind == EchoCredentials && f.Status != 0:
		name += ":" + strconv.Itoa(f.Status)
	case (f.Kind == Hang || f.Kind == SlowBody) && f.Delay > 0:
		name += ":" + f.Delay.String()
	case f.N > 0:
		name += ":" + strconv.Itoa(f.N)
	}
	if f.Imports {
		name += "+import"
	}
	return name
}

// ParseFault reads NAME[:ARGUMENT][+import][=CALLS]. NAME is a Kind or a
// status code from 200 to 599; a status code's argument is its Retry-After.
// +import makes an error or a hang import all the same. CALLS is one or more,
// with commas, of 3% (a share), 1/5 (each fifth) and #7 (the seventh); without
// it the fault falls to every call.
//
//	500=4%   504+import=3.5%   503:2=1%   reset-after-import=3%
//	silent-limit:120   shuffled=1/3   hang:5s=#1,#2
func ParseFault(text string) (Fault, error) {
	fail := func(format string, a ...any) (Fault, error) {
		return Fault{}, fmt.Errorf("fault %q: "+format, append([]any{text}, a...)...)
	}
	name, calls, hasCalls := strings.Cut(text, "=")
	name, imports := strings.CutSuffix(name, "+import")
	name, arg, hasArg := strings.Cut(name, ":")
	f := Fault{Kind: Kind(name), Imports: imports}
	if status, err := strconv.Atoi(name); err == nil {
		f.Kind, f.Status = Status, status
	}
	info, ok := infoOf(f.Kind)
	if !ok || name == string(Status) {
		return fail("no fault has the name %q; use a status code or one of: %s", name, strings.Join(kindNames(), ", "))
	}
	if hasArg {
		if err := f.setArgument(info.arg, arg); err != nil {
			return fail("%v", err)
		}
	}
	if hasCalls {
		for part := range strings.SplitSeq(calls, ",") {
			if err := f.addCalls(part); err != nil {
				return fail("%v", err)
			}
		}
	}
	if err := f.validate(); err != nil {
		return fail("%v", err)
	}
	return f, nil
}

func (f *Fault) setArgument(kind, arg string) (err error) {
	switch kind {
	case "RETRY-AFTER":
		f.RetryAfter = arg
	case "STATUS":
		f.Status, err = strconv.Atoi(arg)
	case "DURATION":
		f.Delay, err = time.ParseDuration(arg)
	case "N", "BYTES":
		f.N, err = strconv.Atoi(arg)
	default:
		return fmt.Errorf("%s takes no argument", f.Kind)
	}
	if err != nil {
		return fmt.Errorf("the argument %q is no %s", arg, kind)
	}
	return nil
}

func (f *Fault) addCalls(part string) error {
	if share, ok := strings.CutSuffix(part, "%"); ok && f.Share == 0 {
		v, err := strconv.ParseFloat(share, 64)
		f.Share = v / 100
		if err == nil && f.Share > 0 && f.Share <= 1 {
			return nil
		}
	} else if every, ok := strings.CutPrefix(part, "1/"); ok && f.Every == 0 {
		v, err := strconv.Atoi(every)
		f.Every = v
		if err == nil && v > 0 {
			return nil
		}
	} else if number, ok := strings.CutPrefix(part, "#"); ok {
		v, err := strconv.Atoi(number)
		f.Calls = append(f.Calls, v)
		if err == nil && v > 0 {
			return nil
		}
	}
	return fmt.Errorf("%q names no calls; write 3%%, 1/5 or #7", part)
}

func kindNames() []string {
	names := make([]string, len(kinds))
	for i, in := range kinds {
		names[i] = string(in.kind)
	}
	return names
}

// FaultHelp returns the text that --help shows of faults: one line for each
// kind.
func FaultHelp() string {
	var b strings.Builder
	line := func(name, help string) { fmt.Fprintf(&b, "  %-34s %s\n", name, help) }
	line("CODE[:RETRY-AFTER][+import]", "this status, 200 to 599, nothing imported unless +import or 2xx")
	for _, in := range kinds {
		name := string(in.kind)
		if in.arg != "" {
			name += "[:" + in.arg + "]"
			if in.arg == "N" {
				name = string(in.kind) + ":N"
			}
		}
		if in.kind.mayImport() {
			name += "[+import]"
		}
		line(name, in.help)
	}
	return b.String()
}

// validate reports what makes the fault impossible to play.
func (f Fault) validate() error {
	info, ok := infoOf(f.Kind)
	if !ok {
		return fmt.Errorf("no fault has the kind %q", f.Kind)
	}
	var errs []error
	wrong := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	switch {
	case f.Kind == Status && (f.Status < 200 || f.Status > 599):
		wrong("the status %d is not between 200 and 599", f.Status)
	case f.Kind == EchoCredentials && f.Status != 0 && (f.Status < 400 || f.Status > 599):
		wrong("the status %d is not between 400 and 599", f.Status)
	case (f.Kind == SilentLimit || f.Kind == SilentLimitRefused) && f.N < 1:
		wrong("%s needs its number of tokens, such as %s:120", f.Kind, f.Kind)
	}
	if f.N < 0 || f.Delay < 0 || f.Every < 0 || f.Times < 0 {
		wrong("a number is negative")
	}
	if !(f.Share >= 0 && f.Share <= 1) {
		wrong("the share %v is not between 0 and 1", f.Share)
	}
	if f.Imports && !f.Kind.mayImport() {
		wrong("%s takes no +import", f.Kind)
	}
	if f.Subject != "" && info.early {
		wrong("%s comes before the body, so it cannot depend on a subject", f.Kind)
	}
	return errors.Join(errs...)
}

// statusCode is the code word of an error body.
func statusCode(status int) string {
	switch status {
	case http.StatusTooManyRequests:
		return "rate_limited"
	case http.StatusInternalServerError:
		return "internal_server_error"
	}
	text := http.StatusText(status)
	if text == "" {
		return "status_" + strconv.Itoa(status)
	}
	return strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(text), " ", "_"), "-", "_")
}
