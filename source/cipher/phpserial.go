package cipher

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// phpUnserialize returns what b says if it is PHP's serialised form of one value
// and nothing else, and b otherwise: a string's bytes, a number or boolean as
// JSON has it, nothing for null, and the JSON of an array (a list's, where its
// keys are 0, 1, 2 and so on). Objects stay as they are.
func phpUnserialize(b []byte) []byte {
	p := phpParser{rest: b}
	v, ok := p.value(0)
	if !ok || len(p.rest) != 0 {
		return b
	}
	switch v := v.(type) {
	case nil:
		return []byte{}
	case string:
		return []byte(v)
	case json.RawMessage:
		return v
	}
	return b
}

// phpDepth bounds arrays within arrays.
const phpDepth = 32

// phpParser reads serialised values from the front of rest.
type phpParser struct{ rest []byte }

// value reads one value: nil, a string, or the JSON of anything else.
func (p *phpParser) value(depth int) (any, bool) {
	if depth > phpDepth || len(p.rest) < 2 {
		return nil, false
	}
	kind := p.rest[0]
	if kind == 'N' {
		return nil, p.skip("N;")
	}
	if p.rest[1] != ':' {
		return nil, false
	}
	p.rest = p.rest[2:]
	switch kind {
	case 'b', 'i', 'd':
		text, ok := p.until(';')
		if kind == 'b' && ok {
			return json.RawMessage(strconv.AppendBool(nil, text == "1")), text == "0" || text == "1"
		}
		return json.RawMessage(text), ok && json.Valid([]byte(text))
	case 's':
		n, ok := p.length()
		if !ok || !p.skip(`"`) || n > len(p.rest) {
			return nil, false
		}
		s := string(p.rest[:n])
		p.rest = p.rest[n:]
		return s, p.skip(`";`)
	case 'a':
		n, ok := p.length()
		if !ok || !p.skip("{") {
			return nil, false
		}
		return p.array(n, depth)
	}
	return nil, false
}

// array reads n entries and the closing brace, and returns their JSON.
func (p *phpParser) array(n, depth int) (any, bool) {
	object, list := []byte("{"), []byte("[")
	isList := true
	for i := range n {
		key, ok := p.value(depth + 1)
		if !ok {
			return nil, false
		}
		value, ok := p.value(depth + 1)
		if !ok {
			return nil, false
		}
		number, isNumber := key.(json.RawMessage)
		if isNumber {
			key = string(number)
		}
		name, ok := key.(string)
		if !ok {
			return nil, false
		}
		isList = isList && isNumber && name == strconv.Itoa(i)
		quoted, err := json.Marshal(name)
		text, err2 := json.Marshal(value)
		if err != nil || err2 != nil {
			return nil, false
		}
		if i > 0 {
			object, list = append(object, ','), append(list, ',')
		}
		object = append(append(append(object, quoted...), ':'), text...)
		list = append(list, text...)
	}
	if !p.skip("}") {
		return nil, false
	}
	if isList {
		return json.RawMessage(append(list, ']')), true
	}
	return json.RawMessage(append(object, '}')), true
}

// length reads a length and the colon after it.
func (p *phpParser) length() (int, bool) {
	text, ok := p.until(':')
	if !ok || len(text) > 9 {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 31)
	return int(n), err == nil
}

// until reads up to stop and past it.
func (p *phpParser) until(stop byte) (string, bool) {
	text, rest, ok := bytes.Cut(p.rest, []byte{stop})
	p.rest = rest
	return string(text), ok
}

// skip reads text.
func (p *phpParser) skip(text string) (ok bool) {
	p.rest, ok = bytes.CutPrefix(p.rest, []byte(text))
	return ok
}
