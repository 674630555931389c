package report

import (
	"bytes"
	_ "embed" // the schema
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

//go:embed report.schema.json
var schema []byte

// Schema returns the JSON schema (draft 2020-12) of the JSON form. A reader must
// take keys that it does not know: they may be added within a version.
func Schema() []byte { return bytes.Clone(schema) }

// maxRead bounds what Read takes, in bytes. A report has well under a tenth.
const maxRead = 64 << 20

// Read reads a report back from what WriteJSON wrote. Other lines may stand
// before and after it, as in the log of a container, where the log lines of the
// command are; of several reports the last is read. Before all lines words may
// stand that the log puts there, as a time or a container's name, as many before
// each line, and spaces after them.
//
// Errors: one sentence each, for a text without a report, for one that is cut
// off or damaged, and for one of another version.
func Read(r io.Reader) (*Report, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxRead+1))
	if err != nil {
		return nil, fmt.Errorf("read the report: %w", err)
	}
	if len(text) > maxRead {
		return nil, fmt.Errorf("read the report: the text is longer than %s; give the report alone", size(maxRead))
	}
	object, err := lastReport(text)
	if object == nil {
		if rest := unprefixed(text); rest != nil {
			object, err = lastReport(rest)
		}
	}
	if err != nil {
		return nil, err
	}
	var version struct{ Version int }
	if err := json.Unmarshal(object, &version); err != nil || version.Version < 1 {
		return nil, errors.New("read the report: its version is no number that a report can have; is this a report.json?")
	}
	if version.Version != Version {
		return nil, fmt.Errorf("read the report: it is of version %d, and this program knows version %d; use the program that wrote it, or a newer one", version.Version, Version)
	}
	out := New("", "")
	if err := json.Unmarshal(object, out); err != nil {
		var field *json.UnmarshalTypeError
		if errors.As(err, &field) {
			return nil, fmt.Errorf("read the report: %s is a %s, where a report has another type", field.Field, field.Value)
		}
		return nil, fmt.Errorf("read the report: %w", err)
	}
	if out.Mode != "run" && out.Mode != "dry-run" {
		return nil, fmt.Errorf("read the report: its mode is %q, which is neither run nor dry-run", cut(out.Mode, 50))
	}
	out.whole()
	return out, nil
}

// lastReport finds the last JSON object in a text that looks like a report. It
// begins a line, as everything does that the program prints.
func lastReport(text []byte) (found []byte, err error) {
	err = errors.New("read the report: there is none in this text; give what --report FILE.json or --report - wrote, without what else a log puts into its lines")
	for at := 0; at < len(text); {
		line := text[at:]
		end := bytes.IndexByte(line, '\n')
		next := len(text)
		if end >= 0 {
			next = at + end + 1
		}
		if begin := bytes.TrimLeft(line[:next-at], " \t\r\ufeff"); len(begin) > 0 && begin[0] == '{' {
			var object json.RawMessage
			d := json.NewDecoder(bytes.NewReader(line[len(line[:next-at])-len(begin):]))
			switch derr := d.Decode(&object); {
			case derr == nil && isReport(object):
				found, err = object, nil
			case derr != nil && isReport(begin) && found == nil:
				err = errors.New("read the report: it is cut off, or damaged: " + derr.Error())
			}
			if object != nil && d.InputOffset() > 0 {
				next = max(next, at+int(d.InputOffset()))
			}
		}
		at = next
	}
	return found, err
}

// unprefixed returns a log from its first line on that begins a report after some
// words, and all lines without as many; nil: there is no such line. Words are
// counted, not bytes, as those of a time may differ in length.
func unprefixed(text []byte) []byte {
	var out []byte
	words := 0
	lines := bytes.Split(text, []byte("\n"))
	for i, line := range lines {
		if words == 0 {
			before, after, found := bytes.Cut(line, []byte("{"))
			n := len(bytes.Fields(before))
			if !found || n == 0 || before[len(before)-1] > ' ' {
				continue
			}
			if len(bytes.TrimSpace(after)) == 0 && i+1 < len(lines) {
				after = withoutWords(lines[i+1], n)
			}
			if !bytes.HasPrefix(bytes.TrimSpace(after), []byte(`"version"`)) {
				continue
			}
			words = n
		}
		out = append(append(out, withoutWords(line, words)...), '\n')
	}
	return out
}

// withoutWords returns what follows the first n words of a line.
func withoutWords(line []byte, n int) []byte {
	for range n {
		line = bytes.TrimLeft(line, " \t\ufeff")
		end := bytes.IndexAny(line, " \t")
		if end < 0 {
			return nil
		}
		line = line[end:]
	}
	return line
}

// isReport tells a report from a log line.
func isReport(object []byte) bool {
	var keys struct{ Version, Migration, Counts json.RawMessage }
	if json.Unmarshal(object, &keys) == nil {
		return keys.Version != nil && keys.Migration != nil && keys.Counts != nil
	}
	// What is cut off begins as a report does, indented or not.
	begin := bytes.TrimSpace(object)
	return string(begin) == "{" || bytes.HasPrefix(begin, []byte(`{"version"`))
}

// whole gives lists and maps that are null in the text their empty form.
func (r *Report) whole() {
	empty := New("", "")
	if r.Totals == nil {
		r.Totals = empty.Totals
	}
	if r.Reasons == nil {
		r.Reasons = empty.Reasons
	}
	if r.Connectors == nil {
		r.Connectors = empty.Connectors
	}
	if r.Calls.WaitedSeconds == nil {
		r.Calls.WaitedSeconds = empty.Calls.WaitedSeconds
	}
	if r.Progress == nil {
		r.Progress = empty.Progress
	}
	if r.Runs == nil {
		r.Runs = empty.Runs
	}
	if r.Projection.ByChunkTokens == nil {
		r.Projection.ByChunkTokens = empty.Projection.ByChunkTokens
	}
	if r.Expiry == nil {
		r.Expiry = empty.Expiry
	}
	if r.Failures == nil {
		r.Failures = empty.Failures
	}
	if r.Store.Warnings == nil {
		r.Store.Warnings = empty.Store.Warnings
	}
}
