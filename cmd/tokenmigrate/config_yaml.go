package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// maxConfigFile is the largest configuration file in bytes.
const maxConfigFile = 1 << 20

// loader reads one configuration file and gathers what is wrong with it.
type loader struct {
	file     string
	need     need
	getenv   func(string) (string, bool)
	sections []*section // in the order in which they were asked for
	problems []problem
	warnings []problem
	secrets  []string // expanded values, passwords, credentials
}

func (l *loader) problem(line int, key, format string, args ...any) {
	l.problems = append(l.problems, problem{File: l.file, Line: line, Key: key, Text: fmt.Sprintf(format, args...)})
}

// read returns the document's root section, or nil where there is none to go
// on with; why has been noted then.
func (l *loader) read() *section {
	data, err := readLimited(l.file, maxConfigFile)
	if err != nil {
		l.problem(0, "", "the configuration file %v", err)
		return nil
	}
	if !l.plainText(data) {
		return nil
	}
	yl, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		l.problem(0, "", "the configuration file cannot be read as YAML (%v)", err)
		return nil
	}
	var doc, next yaml.Node
	switch err := yl.Load(&doc); {
	case errors.Is(err, io.EOF):
		l.problem(0, "", "the configuration file is empty; begin with the example configuration")
		return nil
	case err != nil:
		l.syntaxError(err, data)
		return nil
	}
	switch err := yl.Load(&next); {
	case err == nil:
		l.problem(next.Line, "", "a second YAML document begins here; keep one in a file")
		return nil
	case !errors.Is(err, io.EOF):
		l.syntaxError(err, data)
		return nil
	}
	root := &section{l: l, line: 1, used: true}
	switch top := doc.Content[0]; {
	case isNull(top):
		l.problem(0, "", "the configuration file is empty; begin with the example configuration")
		return nil
	case top.Kind != yaml.MappingNode:
		l.problem(top.Line, "", "the file holds %s where keys such as migration: are expected; begin with the example configuration", kindOf(top))
		return nil
	default:
		root.fields = l.fields("", top)
	}
	l.sections = append(l.sections, root)
	return root
}

// plainText notes the first byte that no YAML file may hold. The parser would
// find it too, but could not say in which line.
func (l *loader) plainText(data []byte) bool {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		l.problem(0, "", "the configuration file is UTF-16; save it as UTF-8")
		return false
	}
	line := 1
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && size <= 1:
			l.problem(line, "", "the text is not UTF-8; save the file as UTF-8")
			return false
		case r == '\n':
			line++
		case r < ' ' && r != '\t' && r != '\r' || r == 0x7f:
			l.problem(line, "", "there is a control character (code %d); remove it", r)
			return false
		}
		i += size
	}
	return true
}

// syntaxError notes what the YAML parser says. It names positions and syntax,
// never content, but for the names of anchors: these are left out, since an
// unquoted password may begin with *.
func (l *loader) syntaxError(err error, data []byte) {
	var e *yaml.LoadError
	if !errors.As(err, &e) {
		l.problem(0, "", "the configuration file is not valid YAML")
		return
	}
	text := e.Message
	switch {
	case strings.HasPrefix(text, "unknown anchor"):
		l.problem(e.Mark.Line, "", "an unquoted * begins a YAML alias, and there is none of that name; put the text in quotes")
		return
	case strings.HasPrefix(strings.TrimLeft(lineOf(data, e.Mark.Line), " "), "\t"):
		text = "found a tab in the indentation; indent with spaces"
	case strings.Contains(text, "cannot start any token"):
		text += "; put the text in quotes"
	case strings.Contains(text, "mapping values are not allowed"):
		text += "; put text that holds ': ' in quotes, and check the indentation"
	case strings.Contains(e.ContextMsg, "flow") && strings.Contains(lineOf(data, e.Mark.Line), "${"):
		text += "; inside { } and [ ] put ${...} in quotes"
	default:
		text += "; check quotes, brackets and indentation"
	}
	if e.ContextMark.Line > 0 && e.ContextMark.Line < e.Mark.Line && e.ContextMsg != "" {
		text += fmt.Sprintf(" (%s that begins in line %d)", e.ContextMsg, e.ContextMark.Line)
	}
	l.problem(e.Mark.Line, "", "not valid YAML: %s", text)
}

// lineOf returns a line by its number, which counts from 1.
func lineOf(data []byte, number int) string {
	for line := range bytes.Lines(data) {
		if number--; number == 0 {
			return string(line)
		}
	}
	return ""
}

// field is one key of a mapping with its value.
type field struct {
	name string
	line int // of the key
	node *yaml.Node
}

// fields returns the keys of a mapping in order, each once, and notes keys that
// cannot be any.
func (l *loader) fields(path string, node *yaml.Node) []field {
	var out []field
	first := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		switch {
		case key.Kind != yaml.ScalarNode:
			l.problem(key.Line, path, "a key here is %s; keys are plain names", kindOf(key))
			continue
		case key.ShortTag() == "!!merge":
			l.problem(key.Line, path, "merge keys (<<) are not supported; write the keys out")
			continue
		}
		if line, again := first[key.Value]; again {
			l.problem(key.Line, joinKey(path, key.Value), "is given twice, first in line %d; keep one", line)
			continue
		}
		first[key.Value] = key.Line
		out = append(out, field{key.Value, key.Line, node.Content[i+1]})
	}
	return out
}

// section is one mapping of the file, such as source. A section that is left
// out has no fields and is read all the same, so that its defaults apply and
// its required keys are missed.
type section struct {
	l      *loader
	path   string // "" for the root
	line   int    // of its key; the root's is 1, that of an absent one its parent's
	used   bool   // by the command
	fields []field
	values map[string]*value // what was asked for so far, by name
	broken bool              // its value is no mapping
}

// find returns a field by name and remembers that the name is known.
func (s *section) find(name string) (field, bool) {
	if s.values == nil {
		s.values = map[string]*value{}
	}
	if _, known := s.values[name]; !known {
		s.values[name] = nil
	}
	i := slices.IndexFunc(s.fields, func(f field) bool { return f.name == name })
	if i < 0 {
		return field{}, false
	}
	return s.fields[i], !isNull(s.fields[i].node)
}

// child returns the section under a key; used are the needs of which the
// command must have one for the section to be used.
func (s *section) child(name string, used need) *section {
	c := &section{l: s.l, path: joinKey(s.path, name), line: s.line, used: s.l.need&used != 0}
	if f, given := s.find(name); given {
		c.line = f.line
		if c.broken = !s.l.isMapping(c.path, f); !c.broken {
			c.fields = s.l.fields(c.path, f.node)
		}
	}
	s.l.sections = append(s.l.sections, c)
	return c
}

// problem notes what is wrong with the section as a whole.
func (s *section) problem(format string, args ...any) {
	if !s.broken {
		s.l.problem(s.line, s.path, format, args...)
	}
}

// text returns the scalar under a key, expanded if the section is used.
func (s *section) text(name string) *value { return s.textIf(name, s.used) }

// textIf is text for a key that is used or not by a rule of its own.
func (s *section) textIf(name string, used bool) *value {
	f, given := s.find(name)
	if v := s.values[name]; v != nil {
		return v
	}
	v := &value{s: s, name: name, path: joinKey(s.path, name), line: s.line, used: used}
	if f.line > 0 {
		v.line = f.line
	}
	if given {
		v.read(f)
	}
	s.values[name] = v
	return v
}

// entries returns the scalars of a mapping whose keys are free, in order.
func (s *section) entries(name string) []*value {
	f, given := s.find(name)
	path := joinKey(s.path, name)
	if !given || !s.l.isMapping(path, f) {
		return nil
	}
	var out []*value
	for _, f := range s.l.fields(path, f.node) {
		v := &value{s: s, name: f.name, path: joinKey(path, f.name), line: f.line, used: s.used}
		if !isNull(f.node) {
			v.read(f)
		}
		out = append(out, v)
	}
	return out
}

// isMapping notes a problem unless the field's value is a mapping.
func (l *loader) isMapping(path string, f field) bool {
	if f.node.Kind == yaml.MappingNode && f.node.ShortTag() == "!!map" {
		return true
	}
	l.problem(f.line, path, "%s stands where keys are expected; write them below it, indented", kindOf(f.node))
	return false
}

// unknownKeys notes the keys that nobody asked for. It is called last.
func (l *loader) unknownKeys() {
	elsewhere := map[string]string{} // by name, the section that knows it
	for _, s := range l.sections {
		for name := range s.values {
			if s.path != "" {
				elsewhere[name] = s.path
			}
		}
	}
	for _, s := range l.sections {
		known := slices.Sorted(maps.Keys(s.values))
		for _, f := range s.fields {
			if _, ok := s.values[f.name]; ok {
				continue
			}
			remedy := "known here: " + strings.Join(known, ", ")
			if near := nearest(f.name, known); near != "" {
				remedy = "did you mean " + near + "?"
			} else if other, ok := elsewhere[f.name]; ok {
				remedy = "it belongs under " + other
			}
			l.problem(f.line, joinKey(s.path, f.name), "unknown key; %s", remedy)
		}
	}
}

// joinKey puts a key behind the path of its section. What is not a plain name is
// quoted and shortened.
func joinKey(path, name string) string {
	if !plainKey.MatchString(name) {
		name = strconv.Quote(brief(name))
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// kindOf names what a node is.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	return "a single value"
}
