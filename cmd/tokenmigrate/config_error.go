package main

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// configError is a configuration file that cannot be used. It tells everything
// that is wrong with it, by line.
type configError struct {
	Problems []problem
}

// Error returns the problems, one a line.
func (e *configError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// problem is one thing that is wrong, or worth a warning, in the configuration
// file. It never holds a value that came from a variable or a file.
type problem struct {
	File string
	Line int    // from 1; 0: the file as a whole
	Key  string // such as source.page_size; "": no key in particular
	Text string // what is wrong, and the remedy
}

// String returns FILE:LINE: KEY: TEXT, without the parts that are not known.
func (p problem) String() string {
	s := p.File
	if p.Line > 0 {
		s += ":" + strconv.Itoa(p.Line)
	}
	s += ": "
	if p.Key != "" {
		s += p.Key + ": "
	}
	return s + p.Text
}

// sortedProblems sorts problems by line and, within one, keeps the order in which they
// were found; what was found twice is told once.
func sortedProblems(list []problem) []problem {
	slices.SortStableFunc(list, func(a, b problem) int { return cmp.Compare(a.Line, b.Line) })
	return slices.Compact(list)
}

// redactor replaces secrets in texts. Its zero value replaces nothing.
type redactor struct {
	forms []string // every spelling of every secret, each once
	r     *strings.Replacer
}

// minRedacted is the length in bytes from which a value is redacted.
const minRedacted = 4

// shortNumber tells a number such as a page size, which is no secret, and which
// would hit the numbers in logs.
func shortNumber(s string) bool {
	return len(s) < 10 && strings.Trim(s, "0123456789") == ""
}

// add takes more secrets. A secret of several lines is also known by each of
// its lines, since errors are often cut or folded at line breaks.
func (r *redactor) add(secrets ...string) {
	for _, s := range secrets {
		for _, part := range append(strings.Split(s, "\n"), s) {
			if part = strings.TrimSpace(part); len(part) >= minRedacted && !shortNumber(part) {
				r.forms = append(r.forms, spellings(part)...)
			}
		}
	}
	// Longest first: where one secret begins with another, the whole must go.
	slices.SortFunc(r.forms, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b))
	})
	r.forms = slices.Compact(r.forms)
	pairs := make([]string, 0, 2*len(r.forms))
	for _, f := range r.forms {
		pairs = append(pairs, f, "[redacted]")
	}
	r.r = strings.NewReplacer(pairs...)
}

func (r *redactor) clean(text string) string {
	if r.r == nil {
		return text
	}
	return r.r.Replace(text)
}

// spellings returns s as it may turn up in somebody's error text.
func spellings(s string) []string {
	quoted := strconv.Quote(s)
	ascii := strconv.QuoteToASCII(s)
	_, userinfo, _ := strings.Cut(url.UserPassword("", s).String(), ":")
	return []string{s, url.QueryEscape(s), url.PathEscape(s), userinfo, quoted[1 : len(quoted)-1], ascii[1 : len(ascii)-1]}
}
