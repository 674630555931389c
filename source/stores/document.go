package stores

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"strings"
)

// document is a JSON object that holds a credential. Numbers keep their digits.
type document map[string]any

// parseDocument reads a JSON object. Nothing and null are an empty one; so is a
// string that holds an object, since some stores encode theirs twice. It reports
// false for anything else.
func parseDocument(text []byte) (document, bool) {
	for range 3 {
		if text = bytes.TrimSpace(text); len(text) == 0 {
			return document{}, true
		}
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.UseNumber()
		var v any
		if dec.Decode(&v) != nil {
			return nil, false
		}
		if _, err := dec.Token(); err != io.EOF {
			return nil, false
		}
		switch v := v.(type) {
		case nil:
			return document{}, true
		case map[string]any:
			return v, true
		case string:
			text = []byte(v)
		default:
			return nil, false
		}
	}
	return nil, false
}

// text returns the first of these entries that is a string or number with
// something in it, or "".
func (d document) text(names ...string) string {
	for _, name := range names {
		switch v := d[name].(type) {
		case string:
			if v != "" {
				return v
			}
		case json.Number:
			return v.String()
		}
	}
	return ""
}

// object returns an entry that is an object; an empty one if it is none.
func (d document) object(name string) document {
	v, _ := d[name].(map[string]any)
	return v
}

// list returns an entry that is a text to be split or an array, as the scopes
// column has it; "" if it is neither.
func (d document) list(name string) string {
	if array, ok := d[name].([]any); ok {
		text, _ := json.Marshal(array)
		return string(text)
	}
	return d.text(name)
}

// seconds returns the first of these entries that is a positive number, or the
// text of one, in whole seconds; 0 if none is.
func (d document) seconds(names ...string) int64 {
	for _, name := range names {
		if n := seconds(d.text(name)); n > 0 {
			return n
		}
	}
	return 0
}

// seconds reads a positive number of seconds, rounded down; 0 for anything else,
// and for what no clock shows.
func seconds(text string) int64 {
	f, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || !(f >= 1 && f < 1e15) {
		return 0
	}
	return int64(f)
}

// unix writes a time in seconds as a column has it; 0, which is not known, as
// NULL.
func unix(seconds int64) string {
	if seconds <= 0 {
		return ""
	}
	return strconv.FormatInt(seconds, 10)
}
