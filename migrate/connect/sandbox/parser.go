package sandbox

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A parser is a cursor over a JSON text. Its methods stand before a value and
// leave the cursor right behind it.
type parser struct {
	s    string
	i    int
	echo []byte
}

func (p *parser) text() (string, *bodyError) {
	raw, err := p.raw('"', "string")
	if err != nil {
		return "", err
	}
	return unquote(raw), nil
}

// number reads a number as a whole one; fractions are cut off.
func (p *parser) number() (int64, *bodyError) {
	p.space()
	if c := p.peek(); c != '-' && (c < '0' || c > '9') {
		return 0, p.wrongType("number")
	}
	start := p.i
	if err := p.skip(0); err != nil {
		return 0, err
	}
	raw := p.s[start:p.i]
	if n, err := strconv.ParseInt(raw, 10, 64); err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(raw, 64)
	if err != nil || math.Abs(f) >= 1<<63 {
		return 0, &bodyError{"", "should be a number that fits 64 bits"}
	}
	return int64(f), nil
}

// raw reads a value that must begin with open, and returns its text.
func (p *parser) raw(open byte, want string) (string, *bodyError) {
	p.space()
	if p.peek() != open {
		return "", p.wrongType(want)
	}
	start := p.i
	err := p.skip(0)
	return p.s[start:p.i], err
}

// object reads an object; each must read the value that follows the key.
func (p *parser) object(each func(key string) *bodyError) *bodyError {
	p.space()
	if p.peek() != '{' {
		return p.wrongType("object")
	}
	p.i++
	if p.closes('}') {
		return nil
	}
	for {
		p.space()
		start := p.i
		if p.peek() != '"' || !p.skipString() {
			return p.syntax()
		}
		key := unquote(p.s[start:p.i])
		if p.space(); p.peek() != ':' {
			return p.syntax()
		}
		p.i++
		if err := each(key); err != nil {
			return err
		}
		if p.closes('}') {
			return nil
		}
		if p.peek() != ',' {
			return p.syntax()
		}
		p.i++
	}
}

// array reads an array; each must read the element that it is called for.
func (p *parser) array(each func(i int) *bodyError) *bodyError {
	p.space()
	if p.peek() != '[' {
		return p.wrongType("array")
	}
	p.i++
	if p.closes(']') {
		return nil
	}
	for n := 0; ; n++ {
		if err := each(n); err != nil {
			return err.in("[" + strconv.Itoa(n) + "]")
		}
		if p.closes(']') {
			return nil
		}
		if p.peek() != ',' {
			return p.syntax()
		}
		p.i++
	}
}

// closes steps over spaces, and over c where it comes next.
func (p *parser) closes(c byte) bool {
	p.space()
	if p.peek() != c {
		return false
	}
	p.i++
	return true
}

// peek returns the next byte, 0 at the end. No JSON text has a zero byte.
func (p *parser) peek() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

func (p *parser) space() {
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\t', '\r', '\n':
			p.i++
		default:
			return
		}
	}
}

// maxDepth bounds how deep values may nest, so that no body can exhaust the
// stack.
const maxDepth = 500

// skip reads any one value.
func (p *parser) skip(depth int) *bodyError {
	p.space()
	switch c := p.peek(); {
	case depth > maxDepth:
		return &bodyError{"", "is nested too deep"}
	case c == '{':
		return p.object(func(string) *bodyError { return p.skip(depth + 1) })
	case c == '[':
		return p.array(func(int) *bodyError { return p.skip(depth + 1) })
	case c == '"' && p.skipString(),
		c == 't' && p.skipWord("true"), c == 'f' && p.skipWord("false"), c == 'n' && p.skipWord("null"),
		(c == '-' || '0' <= c && c <= '9') && p.skipNumber():
		return nil
	}
	return p.syntax()
}

func (p *parser) skipWord(w string) bool {
	if !strings.HasPrefix(p.s[p.i:], w) {
		return false
	}
	p.i += len(w)
	return true
}

func (p *parser) skipString() bool {
	for i := p.i + 1; i < len(p.s); i++ {
		switch c := p.s[i]; {
		case c == '"':
			p.i = i + 1
			return true
		case c < ' ':
			return false
		case c == '\\':
			i++
			if i >= len(p.s) || strings.IndexByte(`"\/bfnrtu`, p.s[i]) < 0 {
				return false
			}
			if p.s[i] == 'u' {
				if i+4 >= len(p.s) || !isHex(p.s[i+1:i+5]) {
					return false
				}
				i += 4
			}
		}
	}
	return false
}

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f') {
			return false
		}
	}
	return true
}

func (p *parser) skipNumber() bool {
	if p.peek() == '-' {
		p.i++
	}
	if p.peek() == '0' {
		p.i++
	} else if !p.skipDigits() {
		return false
	}
	if p.peek() == '.' {
		p.i++
		if !p.skipDigits() {
			return false
		}
	}
	if p.peek()|0x20 == 'e' {
		p.i++
		if c := p.peek(); c == '+' || c == '-' {
			p.i++
		}
		return p.skipDigits()
	}
	return true
}

func (p *parser) skipDigits() bool {
	start := p.i
	for c := p.peek(); '0' <= c && c <= '9'; c = p.peek() {
		p.i++
	}
	return p.i > start
}

// unquote returns the text of a JSON string that skipString accepted.
func unquote(raw string) string {
	if strings.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	var text string
	// It cannot fail: the syntax was checked.
	_ = json.Unmarshal([]byte(raw), &text)
	return text
}

func (p *parser) syntax() *bodyError {
	return &bodyError{"", fmt.Sprintf("is not valid JSON near byte %d", p.i)}
}

// wrongType tells of a value that is JSON, or begins like it, but not of the
// type wanted.
func (p *parser) wrongType(want string) *bodyError {
	rest := p.s[p.i:]
	begins := rest != "" && strings.IndexByte(`{["-0123456789`, rest[0]) >= 0
	for _, word := range []string{"true", "false", "null"} {
		begins = begins || strings.HasPrefix(rest, word)
	}
	if !begins {
		return p.syntax()
	}
	return &bodyError{"", "should be " + want}
}
