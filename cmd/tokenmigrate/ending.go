package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"tokenmigrate/migrate/report"
)

// Where a container's last words are read from, and how many bytes of them.
const (
	terminationLog     = "/dev/termination-log"
	terminationVar     = "TOKENMIGRATE_TERMINATION_LOG"
	terminationMost    = 4096
	terminationStrings = 1200 // bytes of one text in it, at first
)

// ending is what is said of a command that is over, as one line of JSON.
type ending struct {
	Migration string           `json:"migration,omitempty"`
	Mode      string           `json:"mode,omitempty"`
	Shard     *int             `json:"shard,omitempty"` // where there are several
	ExitCode  int              `json:"exitCode"`
	Outcome   string           `json:"outcome"` // one sentence
	StoppedBy string           `json:"stoppedBy,omitempty"`
	Counts    *report.Counts   `json:"counts,omitempty"`
	Totals    map[string]int64 `json:"totals,omitempty"`
	Error     string           `json:"error,omitempty"` // the first
}

// writeEnding writes how the command ended to where Kubernetes looks for it, if
// that place exists: of a run or dry run always, of other commands where they
// failed. What fails here is only told.
func (a *app) writeEnding(err error) {
	if a.ended == nil && err == nil {
		return
	}
	path := terminationLog
	if other, ok := a.getenv(terminationVar); ok && other != "" {
		path = other
	}
	f, ferr := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if errors.Is(ferr, fs.ErrNotExist) {
		return
	}
	if ferr == nil {
		_, ferr = f.Write(endingLine(a.ended, err, a.cfg.Redact))
		ferr = errors.Join(ferr, f.Close())
	}
	if ferr != nil {
		fmt.Fprintf(a.stderr, "tokenmigrate: the summary could not be written: %v\n", ferr)
	}
}

// endingLine returns the line, of less than terminationMost bytes. r may be nil.
func endingLine(r *report.Report, err error, redact func(string) string) []byte {
	e := ending{ExitCode: exitCode(err), Outcome: "It ended before any work began."}
	if r != nil {
		e.Migration, e.Mode, e.Shard, e.StoppedBy = r.Migration, r.Mode, r.Shard, r.StoppedBy
		e.Outcome, e.Counts, e.Totals, e.Error = r.Sentence(), &r.Counts, r.Totals, r.Error
	}
	if err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		e.Error = first
	}
	outcome, problem := redact(e.Outcome), redact(e.Error)
	for most := terminationStrings; ; most /= 2 {
		e.Outcome, e.Error = shortened(outcome, most), shortened(problem, most)
		line, merr := json.Marshal(e)
		if merr == nil && len(line) < terminationMost-1 {
			return append(line, '\n')
		}
	}
}

// shortened cuts a text to at most n bytes, at a rune's end.
func shortened(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + "…"
}
