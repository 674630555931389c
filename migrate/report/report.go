// Package report is the account of a migration: one model, Report, that dry
// runs and runs fill, with its faces. JSON is the model itself, with a Schema, and
// can be Read back; WriteText is for logs and WriteTerminal for people; WriteHTML
// makes a page of it, for those who decide and those who watch.
//
// A report holds no credential. Keys stand in it, and connectors and reasons;
// subject ids do only where Failure.Subject was asked for.
package report

import (
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Version is the version of the JSON form.
const Version = 1

// MaxFailures is how many failures a report lists; counts are always whole.
const MaxFailures = 1000

// Counts are rows by outcome. Read is the sum of the others, always.
type Counts struct {
	Read      int64 `json:"read"`
	Imported  int64 `json:"imported"`
	Unchanged int64 `json:"unchanged"` // imported by an earlier run
	Failed    int64 `json:"failed"`
	Invalid   int64 `json:"invalid"`
	Skipped   int64 `json:"skipped"`
	Unknown   int64 `json:"unknown"` // sent, and no answer recorded
	Pending   int64 `json:"pending"` // not sent in this run; in a dry run: would be sent
}

// Sum returns the rows that ended in one of the outcomes.
func (c Counts) Sum() int64 {
	return c.Imported + c.Unchanged + c.Failed + c.Invalid + c.Skipped + c.Unknown + c.Pending
}

// NotImported returns the rows that ended without being imported and were not
// left out on purpose.
func (c Counts) NotImported() int64 { return c.Failed + c.Invalid + c.Unknown + c.Pending }

// Add adds other to c.
func (c *Counts) Add(other Counts) {
	c.Read += other.Read
	c.Imported += other.Imported
	c.Unchanged += other.Unchanged
	c.Failed += other.Failed
	c.Invalid += other.Invalid
	c.Skipped += other.Skipped
	c.Unknown += other.Unknown
	c.Pending += other.Pending
}

// Connector is the part of the counts that belongs to one connector and
// environment. Rows whose connector could not be told have an empty one.
type Connector struct {
	Connector   string `json:"connector"`
	Environment string `json:"environment"`
	Counts
}

// Calls is what the run did on the wire.
type Calls struct {
	Made          int64              `json:"made"`
	Tokens        int64              `json:"tokens"` // carried by these calls; a token sent twice counts twice
	Throttled     int64              `json:"throttled"`
	Retried       int64              `json:"retried"`
	Split         int64              `json:"split"`
	ResentTokens  int64              `json:"resentTokens"`
	WaitedSeconds map[string]float64 `json:"waitedSeconds"` // by cause

	// Allowed are the calls that the pace allowed: those made, and those that were
	// not made in the end. Of these, Full carried as many tokens or bytes as a call
	// may, and Wasted brought no outcome: they were throttled, not answered, halved,
	// or not made. A report of an earlier version of the program has none of the
	// three.
	Allowed int64 `json:"allowed,omitempty"`
	Full    int64 `json:"full,omitempty"`
	Wasted  int64 `json:"wasted,omitempty"`
}

// Add adds other to c.
func (c *Calls) Add(other Calls) {
	c.Made += other.Made
	c.Tokens += other.Tokens
	c.Throttled += other.Throttled
	c.Retried += other.Retried
	c.Split += other.Split
	c.ResentTokens += other.ResentTokens
	c.Allowed += other.Allowed
	c.Full += other.Full
	c.Wasted += other.Wasted
	if c.WaitedSeconds == nil {
		c.WaitedSeconds = make(map[string]float64)
	}
	for cause, s := range other.WaitedSeconds {
		c.WaitedSeconds[cause] += s
	}
}

// Projection says what sending the pending tokens takes at the configured pace.
type Projection struct {
	ChunkTokens   int                     `json:"chunkTokens"` // as configured
	Calls         int64                   `json:"calls"`
	Seconds       float64                 `json:"seconds"`
	ByChunkTokens []ProjectionChunkTokens `json:"byChunkTokens"`
}

// ProjectionChunkTokens is the projection for another chunk size.
type ProjectionChunkTokens struct {
	ChunkTokens int     `json:"chunkTokens"`
	Calls       int64   `json:"calls"`
	Seconds     float64 `json:"seconds"`
}

// ExpirySpans are the values of Expiry.UpTo, in order. A token is counted in the
// first that holds it: "run" is the time that sending takes as projected, so that
// it is empty where the run is over before the first token dies, and later ones
// have nothing left where it takes longer than they span.
func ExpirySpans() []string { return []string{"expired", "run", "1h", "24h", "7d", "30d", "later"} }

// Expiry counts tokens to be sent whose access token expires within a span.
type Expiry struct {
	UpTo           string `json:"upTo"` // one of ExpirySpans
	WithRefresh    int64  `json:"withRefresh"`
	WithoutRefresh int64  `json:"withoutRefresh"`
}

// Store tells what the source was read as.
type Store struct {
	Name      string   `json:"name"`
	Encrypted int64    `json:"encrypted"`
	Plain     int64    `json:"plain"`
	Warnings  []string `json:"warnings"`
}

// Failure is a token that is not imported.
type Failure struct {
	Key       string `json:"key"`
	Connector string `json:"connector"`
	Reason    string `json:"reason"`
	Detail    string `json:"detail"`
	Subject   string `json:"subject,omitempty"` // its subject id, where that was asked for
}

// Duplicates tells how a dry run looked for tokens of one and the same subject;
// how many it found stands among the reasons.
type Duplicates struct {
	Method string `json:"method"` // hashes: each would-be sent token as one of 8 bytes; empty: not looked for
	Bytes  int64  `json:"bytes"`  // of memory that this took
}

// Pace is how fast calls are made.
type Pace struct {
	RequestsPerMinute float64 `json:"requestsPerMinute"` // as configured
	Current           float64 `json:"current"`           // now or at the end; of a dry run, what it reckons with; 0: not known
	Waiting           string  `json:"waiting"`           // what it waits for, in words; empty: nothing, or it is over
}

// States of a run.
const (
	Running = "running"
	Ended   = "ended"
	Died    = "died"    // without a word: killed, or its machine failed
	Missing = "missing" // the shard was never started
)

// RunState is one shard's newest run, as the checkpoint has it. Of one that is
// Missing only the shard is known, and how many rows are left, about.
type RunState struct {
	Run         int64      `json:"run"`
	Shard       int        `json:"shard"`
	Version     string     `json:"version"` // of the program
	State       string     `json:"state"`   // Running, Ended, Died or Missing
	StartedAt   time.Time  `json:"startedAt,omitzero"`
	HeartbeatAt time.Time  `json:"heartbeatAt,omitzero"`
	FinishedAt  *time.Time `json:"finishedAt"`
	ExitCode    *int       `json:"exitCode"`
	Done        int64      `json:"done"` // rows that have an outcome other than pending
	Left        int64      `json:"left"` // pending ones, and those never reached, which are estimated
	Waiting     string     `json:"waiting"`
	LastError   string     `json:"lastError"`
}

// InDoubt are calls whose worker's lease is over, and of which no answer is on record.
// Once they are certainly over, a run of their shard settles them.
type InDoubt struct {
	Calls  int64 `json:"calls"`
	Tokens int64 `json:"tokens"`
}

// Remaining is the number of rows that were never reached.
type Remaining struct {
	Rows      int64 `json:"rows"`
	Estimated bool  `json:"estimated"`
}

// Walk is a later look at the source for what changed since the first: meanwhile
// the counts are those of the last walk that was completed.
type Walk struct {
	Number int32 `json:"number"` // 2 or more
	Open   int64 `json:"open"`   // changed tokens that it has found so far and not sent yet
}

// Report is the account of one run or dry run.
type Report struct {
	Version   int    `json:"version"`
	Migration string `json:"migration"`
	Mode      string `json:"mode"` // run or dry-run
	// Shards is into how many parts the migration's keys are cut, each with a worker
	// of its own; 0: one, or it is not known. Of these Shard is the only one that the
	// report is about, from 0 on; null: it is about all of them.
	Shards     int              `json:"shards,omitempty"`
	Shard      *int             `json:"shard,omitempty"`
	StartedAt  time.Time        `json:"startedAt"`
	FinishedAt *time.Time       `json:"finishedAt"` // null: still running, or it died
	ExitCode   *int             `json:"exitCode"`
	StoppedBy  string           `json:"stoppedBy"` // "", limit, signal, error
	Counts     Counts           `json:"counts"`
	Totals     map[string]int64 `json:"totals"` // by outcome, over all runs
	Remaining  Remaining        `json:"remaining"`
	Walk       *Walk            `json:"walk,omitempty"`    // null in the first walk
	InDoubt    *InDoubt         `json:"inDoubt,omitempty"` // null: none, or the report is not made from the checkpoint
	Paused     bool             `json:"paused,omitempty"`  // by an operator: no run makes calls; not of a run's own report
	Reasons    map[string]int64 `json:"reasons"`
	Connectors []Connector      `json:"connectors"`
	Calls      Calls            `json:"calls"`
	Pace       Pace             `json:"pace"`
	Progress   []ProgressPoint  `json:"progress"` // of a run; at most MaxProgress
	// Runs are the newest of each shard, in the order of Shard; only where the report
	// is made from the checkpoint.
	Runs       []RunState `json:"runs"`
	Projection Projection `json:"projection"`
	Expiry     []Expiry   `json:"expiry"` // of a dry run; in the order of ExpirySpans
	Duplicates Duplicates `json:"duplicates"`
	Store      Store      `json:"store"`
	Failures   []Failure  `json:"failures"` // the first MaxFailures
	Error      string     `json:"error,omitempty"`
	// Warnings are those of the run. The one of a connector that takes no calls
	// begins with its name, so: connector NAME refuses,
	Warnings []string `json:"warnings,omitempty"`

	// LastShard tells that this is one of several shards, and that with it the last
	// of them came to the end: the whole migration's report can be made.
	LastShard bool `json:"-"`
}

// New returns a report that begins now. Its lists and maps are empty and not
// nil, so that the JSON form has [] and {} where there is nothing.
func New(migration, mode string) *Report {
	return &Report{
		Version: Version, Migration: migration, Mode: mode, StartedAt: time.Now().UTC(),
		Totals: map[string]int64{}, Reasons: map[string]int64{}, Connectors: []Connector{},
		Calls:      Calls{WaitedSeconds: map[string]float64{}},
		Progress:   []ProgressPoint{},
		Runs:       []RunState{},
		Projection: Projection{ByChunkTokens: []ProjectionChunkTokens{}},
		Expiry:     []Expiry{}, Failures: []Failure{}, Store: Store{Warnings: []string{}},
	}
}

// Tally counts rows by connector, environment, outcome and reason while they
// are judged. The zero Tally is empty and ready. Not safe for concurrent use.
type Tally struct {
	Reasons    map[string]int64
	Connectors map[Place]*Counts
}

// Place is where a token goes.
type Place struct{ Connector, Environment string }

// At returns the counts of a place, to be changed.
func (t *Tally) At(p Place) *Counts {
	if t.Connectors == nil {
		t.Connectors = make(map[Place]*Counts)
	}
	c := t.Connectors[p]
	if c == nil {
		c = new(Counts)
		t.Connectors[p] = c
	}
	return c
}

// Reason adds n rows to a reason; an empty reason is none.
func (t *Tally) Reason(code string, n int64) {
	if code == "" {
		return
	}
	if t.Reasons == nil {
		t.Reasons = make(map[string]int64)
	}
	if t.Reasons[code] += n; t.Reasons[code] == 0 {
		delete(t.Reasons, code)
	}
}

// Counts returns the sum over all places.
func (t *Tally) Counts() Counts {
	var sum Counts
	for _, c := range t.Connectors {
		sum.Add(*c)
	}
	return sum
}

// Fill copies the tally into the report: counts, reasons and connectors, these
// sorted by name.
func (t *Tally) Fill(r *Report) {
	r.Counts = t.Counts()
	r.Reasons = maps.Clone(t.Reasons)
	if r.Reasons == nil {
		r.Reasons = map[string]int64{}
	}
	r.Connectors = make([]Connector, 0, len(t.Connectors))
	for p, c := range t.Connectors {
		if *c != (Counts{}) {
			r.Connectors = append(r.Connectors, Connector{p.Connector, p.Environment, *c})
		}
	}
	slices.SortFunc(r.Connectors, func(a, b Connector) int {
		if c := strings.Compare(a.Connector, b.Connector); c != 0 {
			return c
		}
		return strings.Compare(a.Environment, b.Environment)
	})
}

// HideSubjects takes the subject ids out of the failures.
func (r *Report) HideSubjects() {
	for i := range r.Failures {
		r.Failures[i].Subject = ""
	}
}

// WriteJSON writes the report as one indented JSON object.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

// RunCounts is what the runs table keeps of a run while it goes on: all that a
// report needs beside the table's own columns, to be made again at any time.
type RunCounts struct {
	Counts
	Shards     int              `json:"shards,omitempty"` // how many there are, as this run knows it; 0: one
	Reasons    map[string]int64 `json:"reasons"`
	Connectors []Connector      `json:"connectors"`
	Calls      Calls            `json:"calls"`
	Remaining  Remaining        `json:"remaining"`
	Walk       *Walk            `json:"walk,omitempty"`
	Progress   []ProgressPoint  `json:"progress,omitempty"`
	Pace       Pace             `json:"pace"` // Waiting stays empty: the table has a column for it
	Store      Store            `json:"store"`
	Warnings   []string         `json:"warnings,omitempty"`
	StoppedBy  string           `json:"stoppedBy,omitempty"` // once it has ended
}
