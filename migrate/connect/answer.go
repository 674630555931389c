package connect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"
)

// Answer is what the endpoint says of a call that it took: the body of a 2xx.
// It is read tolerantly: fields that are unknown, missing or of an unexpected
// type take nothing away from the rest.
type Answer struct {
	Accepted *int     // tokens taken in; nil: not said, or not a whole number
	Imported *int     // tokens imported; nil: not said, or not a whole number
	Results  []Result // in the endpoint's order, which nothing promises to be the request's
}

// Result is what the endpoint says of one token, and whose it is. Text is as the
// endpoint sent it: scrub it before printing it.
type Result struct {
	// Succeeded is nil where the field is missing, not a boolean, or given twice
	// with different values. What it points to is not the caller's to change.
	Succeeded *bool

	// HasSubject tells that the result names whose token it is: an object with
	// a textual type. Otherwise Subject is zero. Parts of another type than text
	// are taken as absent.
	HasSubject bool
	Subject    Subject

	Environment    string // "" where absent
	InstallationID string // installationId; "" where absent. The id of installation is another thing.
	TenantID       string // the id of tenant; "" where absent
}

// An answer has at most maxSpare + maxResults*(tokens sent) results; each costs
// memory, and "{}," is only three bytes to send.
const (
	maxSpareResults    = 1024
	maxResultsPerToken = 16
)

// decodeAnswer reads the body of a 2xx to a call of n tokens. An error means
// that the body is not JSON, or that its tokens are not a list of objects; it
// quotes no more than one character of the body.
//
// It reads the bytes in place, and not with encoding/json's reflection, for
// three reasons: names match exactly (encoding/json also takes "SUCCEEDED" for
// "succeeded"), a field of another type is passed over rather than an error, and
// it is several times faster.
func decodeAnswer(body []byte, n int) (Answer, error) {
	if !json.Valid(body) { // all of it
		return Answer{}, describeSyntax(json.Unmarshal(body, new(json.RawMessage)))
	}
	body = trimSpace(body)
	if body[0] != '{' {
		return Answer{}, errors.New("it is not a JSON object")
	}
	var answer Answer
	var list []byte
	for name, value := range members(body) {
		switch string(name) {
		case "accepted":
			answer.Accepted = wholeNumber(value)
		case "imported":
			answer.Imported = wholeNumber(value)
		case "tokens":
			if list != nil {
				return Answer{}, errors.New(`it has "tokens" twice`)
			}
			list = value
		}
	}
	if list == nil || list[0] != '[' {
		return Answer{}, errors.New(`it has no list "tokens"`)
	}
	limit := maxSpareResults + maxResultsPerToken*n
	answer.Results = make([]Result, 0, n)
	for value := range elements(list) {
		if value[0] != '{' {
			return Answer{}, fmt.Errorf(`"tokens" holds something else than an object at index %d`, len(answer.Results))
		}
		if len(answer.Results) == limit {
			return Answer{}, fmt.Errorf("it has more than %d results for %d tokens", limit, n)
		}
		answer.Results = append(answer.Results, decodeResult(value))
	}
	return answer, nil
}

// describeSyntax puts encoding/json's words into ours.
func describeSyntax(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("it is not JSON at byte %d: %s", syntax.Offset, syntax.Error())
	}
	return fmt.Errorf("it is not JSON: %w", err)
}

func decodeResult(object []byte) Result {
	var r Result
	var given, contradicted bool
	for name, value := range members(object) {
		switch string(name) {
		case "succeeded":
			said := boolean(value)
			if given && (said == nil || r.Succeeded == nil || *said != *r.Succeeded) {
				contradicted = true
			}
			given, r.Succeeded = true, said
		case "subject":
			r.Subject, r.HasSubject = decodeSubject(value)
		case "environment":
			r.Environment, _ = text(value)
		case "installationId":
			r.InstallationID, _ = text(value)
		case "tenant":
			r.TenantID = idOf(value)
		}
	}
	if contradicted {
		r.Succeeded = nil
	}
	return r
}

func decodeSubject(value []byte) (s Subject, ok bool) {
	if value[0] != '{' {
		return Subject{}, false
	}
	for name, part := range members(value) {
		switch string(name) {
		case "type":
			s.Type, ok = text(part)
		case "id":
			s.ID, _ = text(part)
		case "issuer":
			s.Issuer, _ = text(part)
		}
	}
	if !ok {
		return Subject{}, false
	}
	return s, true
}

// idOf returns the textual "id" of an object, else "".
func idOf(value []byte) (id string) {
	if value[0] != '{' {
		return ""
	}
	for name, part := range members(value) {
		if string(name) == "id" {
			id, _ = text(part)
		}
	}
	return id
}

// The functions below read JSON whose syntax was checked before, so that they
// need not look for errors. A value is its bytes without space around it, and
// never empty.

// members yields the names and values of an object, in their order.
func members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		rest := trimSpace(object[1:])
		for rest[0] != '}' {
			name, after := cutValue(rest)
			rest = trimSpace(trimSpace(after)[1:]) // past the colon
			value, after := cutValue(rest)
			rest = trimSpace(after)
			if rest[0] == ',' {
				rest = trimSpace(rest[1:])
			}
			key := name[1 : len(name)-1]
			if bytes.IndexByte(key, '\\') >= 0 {
				plain, _ := text(name)
				key = []byte(plain)
			}
			if !yield(key, value) {
				return
			}
		}
	}
}

// elements yields the values of an array, in their order.
func elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		rest := trimSpace(array[1:])
		for rest[0] != ']' {
			value, after := cutValue(rest)
			rest = trimSpace(after)
			if rest[0] == ',' {
				rest = trimSpace(rest[1:])
			}
			if !yield(value) {
				return
			}
		}
	}
}

// cutValue splits data behind the value that it starts with.
func cutValue(data []byte) (value, rest []byte) {
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			for i++; data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		default:
			if depth > 0 {
				continue
			}
			for i+1 < len(data) && !endsWord(data[i+1]) {
				i++
			}
		}
		if depth == 0 {
			return data[:i+1], data[i+1:]
		}
	}
	return data, nil
}

// endsWord tells what may follow a number, true, false or null.
func endsWord(c byte) bool {
	return c == ',' || c == ']' || c == '}' || isSpace(c)
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// trimSpace returns data from its first byte on that is not space.
func trimSpace(data []byte) []byte {
	for len(data) > 0 && isSpace(data[0]) {
		data = data[1:]
	}
	return data
}

// text returns a string's content, as valid UTF-8; false for another type.
func text(value []byte) (string, bool) {
	if value[0] != '"' {
		return "", false
	}
	inner := value[1 : len(value)-1]
	switch string(inner) { // what nearly every result says costs no memory
	case SubjectUser:
		return SubjectUser, true
	case "production":
		return "production", true
	}
	if bytes.IndexByte(inner, '\\') < 0 {
		return strings.ToValidUTF8(string(inner), "\uFFFD"), true
	}
	var s string
	if err := json.Unmarshal(value, &s); err != nil {
		return "", false
	}
	return s, true
}

func boolean(value []byte) *bool {
	switch string(value) {
	case "true":
		return &yes
	case "false":
		return &no
	}
	return nil
}

// What all results share that say the same.
var yes, no = true, false

// wholeNumber returns nil for what is no number, or none without a fraction; 3.0
// and 3e0 are whole. Numbers beyond ±2^53 are not counts of anything.
func wholeNumber(value []byte) *int {
	f, err := strconv.ParseFloat(string(value), 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return nil
	}
	return new(int(f))
}
