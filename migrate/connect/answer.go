package connect

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
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
	s := scan{data: body}
	answer, problem := s.answer(n)
	s.space()
	if s.bad || s.at < len(body) { // nothing of it is believed
		return Answer{}, describeSyntax(json.Unmarshal(body, new(json.RawMessage)))
	}
	if problem != nil {
		return Answer{}, problem
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

// answer reads the whole answer. It goes on behind a problem, since worse may
// follow: that the body is no JSON at all.
func (s *scan) answer(n int) (answer Answer, problem error) {
	if s.kind() != '{' {
		s.value()
		return Answer{}, errors.New("it is not a JSON object")
	}
	listed := false
	for name := range s.members() {
		switch {
		case string(name) == "accepted":
			answer.Accepted = wholeNumber(s.value())
		case string(name) == "imported":
			answer.Imported = wholeNumber(s.value())
		case string(name) == "tokens" && listed:
			problem = cmp.Or(problem, errors.New(`it has "tokens" twice`))
			s.value()
		case string(name) == "tokens":
			listed = true
			var err error
			answer.Results, err = s.results(n)
			problem = cmp.Or(problem, err)
		default:
			s.value()
		}
	}
	if !listed {
		problem = cmp.Or(problem, errNoList)
	}
	return answer, problem
}

var errNoList = errors.New(`it has no list "tokens"`)

// results reads the results of a call of n tokens.
func (s *scan) results(n int) (results []Result, problem error) {
	if s.kind() != '[' {
		s.value()
		return nil, errNoList
	}
	limit := maxSpareResults + maxResultsPerToken*n
	results = make([]Result, 0, n)
	for range s.elements() {
		switch {
		case problem != nil:
			s.value()
		case s.kind() != '{':
			problem = fmt.Errorf(`"tokens" holds something else than an object at index %d`, len(results))
			s.value()
		case len(results) == limit:
			problem = fmt.Errorf("it has more than %d results for %d tokens", limit, n)
			s.value()
		default:
			results = append(results, Result{})
			s.result(&results[len(results)-1])
		}
	}
	return results, problem
}

func (s *scan) result(r *Result) {
	var given, contradicted bool
	for name := range s.members() {
		switch string(name) {
		case "succeeded":
			said := boolean(s.value())
			if given && (said == nil || r.Succeeded == nil || *said != *r.Succeeded) {
				contradicted = true
			}
			given, r.Succeeded = true, said
		case "subject":
			r.Subject, r.HasSubject = s.subject()
		case "environment":
			r.Environment, _ = text(s.value())
		case "installationId":
			r.InstallationID, _ = text(s.value())
		case "tenant":
			r.TenantID = s.idOf()
		default:
			s.value()
		}
	}
	if contradicted {
		r.Succeeded = nil
	}
}

func (s *scan) subject() (subject Subject, ok bool) {
	if s.kind() != '{' {
		s.value()
		return Subject{}, false
	}
	for name := range s.members() {
		switch string(name) {
		case "type":
			subject.Type, ok = text(s.value())
		case "id":
			subject.ID, _ = text(s.value())
		case "issuer":
			subject.Issuer, _ = text(s.value())
		default:
			s.value()
		}
	}
	if !ok {
		return Subject{}, false
	}
	return subject, true
}

// idOf returns the textual "id" of an object, else "".
func (s *scan) idOf() (id string) {
	if s.kind() != '{' {
		s.value()
		return ""
	}
	for name := range s.members() {
		if value := s.value(); string(name) == "id" {
			id, _ = text(value)
		}
	}
	return id
}

// text returns a string's content, as valid UTF-8; false for another type.
func text(value []byte) (string, bool) {
	if len(value) == 0 || value[0] != '"' {
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
