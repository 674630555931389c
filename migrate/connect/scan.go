package connect

import (
	"encoding/json"
	"iter"
)

// scan reads JSON from its beginning to its end, once, as strictly as
// encoding/json: what is no JSON makes it bad. Its methods then return nothing
// more; what they returned before is not to be believed either.
type scan struct {
	data  []byte
	at    int
	depth int // of arrays and objects that are open
	bad   bool
}

// maxDepth is how deep encoding/json lets values lie in each other.
const maxDepth = 10_000

// fail ends the scan.
func (s *scan) fail() { s.bad, s.at = true, len(s.data) }

// space passes over blanks.
func (s *scan) space() {
	for s.at < len(s.data) {
		switch s.data[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

// kind returns the character with which the next value begins, 0 at the end.
func (s *scan) kind() byte {
	s.space()
	if s.at == len(s.data) {
		return 0
	}
	return s.data[s.at]
}

// take passes over the character c behind blanks, and reports whether it was there.
func (s *scan) take(c byte) bool {
	if s.kind() != c {
		return false
	}
	s.at++
	return true
}

// value passes over the next value and returns it, without blanks around it; nil
// where there is none.
func (s *scan) value() []byte {
	c := s.kind()
	start := s.at
	switch c {
	case '"':
		s.text()
	case '{':
		for range s.members() {
			s.value()
		}
	case '[':
		for range s.elements() {
			s.value()
		}
	default:
		s.word()
	}
	if s.bad {
		return nil
	}
	return s.data[start:s.at]
}

// members yields the names of the object that is next. The loop's body has to read
// the value of each.
func (s *scan) members() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		s.list('}', func() bool {
			if s.kind() != '"' {
				s.fail()
				return false
			}
			name := s.text()
			if !s.take(':') {
				s.fail()
				return false
			}
			return yield(name)
		})
	}
}

// elements yields once for each value of the array that is next, which the loop's
// body has to read.
func (s *scan) elements() iter.Seq[struct{}] {
	return func(yield func(struct{}) bool) {
		s.list(']', func() bool { return yield(struct{}{}) })
	}
}

// list reads an array or object, whose first character is known to be there, with
// each for each of its parts.
func (s *scan) list(closing byte, each func() bool) {
	s.at++
	if s.depth++; s.depth > maxDepth {
		s.fail()
		return
	}
	defer func() { s.depth-- }()
	if s.take(closing) {
		return
	}
	for each() && !s.bad {
		if s.take(closing) {
			return
		}
		if !s.take(',') {
			s.fail()
		}
	}
}

// text passes over the string that is next and returns what it says, its escapes
// resolved. Its value is in the data before s.at.
func (s *scan) text() []byte {
	start, escaped := s.at+1, false
	for i := start; i < len(s.data); i++ {
		switch c := s.data[i]; {
		case c == '"':
			s.at = i + 1
			if escaped {
				return s.unescape(s.data[start-1 : s.at])
			}
			return s.data[start:i]
		case c == '\\':
			escaped = true
			i++
		case c < ' ':
			s.fail()
			return nil
		}
	}
	s.fail()
	return nil
}

// unescape returns what a quoted string with escapes says.
func (s *scan) unescape(quoted []byte) []byte {
	var text string
	if json.Unmarshal(quoted, &text) != nil {
		s.fail()
	}
	return []byte(text)
}

// word passes over a number, true, false or null.
func (s *scan) word() {
	start := s.at
	for s.at < len(s.data) && inWord(s.data[s.at]) {
		s.at++
	}
	switch word := s.data[start:s.at]; string(word) {
	case "true", "false", "null":
	default:
		if !json.Valid(word) {
			s.fail()
		}
	}
}

// inWord tells the characters of numbers and words, and perhaps others, but none
// that may follow them.
func inWord(c byte) bool {
	return c == '-' || c == '+' || c == '.' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}
