package main

import (
	"regexp"
	"strings"
)

// sqlSkip matches, at the start of a text, what a placeholder cannot stand in:
// names (which may hold a $), quoted names, strings, numbers and line comments.
var sqlSkip = regexp.MustCompile(`^(?s:` +
	`[eE]'(?:[^'\\]|\\.|'')*'` +
	`|'(?:[^']|'')*'` +
	`|"(?:[^"]|"")*"` +
	`|--[^\n]*` +
	`|[\pL_\x{80}-\x{10FFFF}][\pL\pN_$\x{80}-\x{10FFFF}]*)`)

var (
	sqlPlace     = regexp.MustCompile(`^\$[0-9]+`)
	sqlDollarTag = regexp.MustCompile(`^\$(?:[\pL_][\pL\pN_]*)?\$`)
)

// sqlPlaceholder returns the first $1, $2, ... of a query, or "". A reader of
// pages has parameters of its own, so that a placeholder would take one of
// their values instead of failing. Strings, comments and quoted names are
// passed over; what is left open runs to the end, where the server will say so.
func sqlPlaceholder(sql string) string {
	for sql != "" {
		n := 1
		switch {
		case strings.HasPrefix(sql, "/*"):
			n = sqlComment(sql)
		case sqlPlace.MatchString(sql):
			return sqlPlace.FindString(sql)
		case sqlDollarTag.MatchString(sql):
			tag := sqlDollarTag.FindString(sql)
			n = len(sql)
			if end := strings.Index(sql[len(tag):], tag); end >= 0 {
				n = end + 2*len(tag)
			}
		default:
			if m := sqlSkip.FindString(sql); m != "" {
				n = len(m)
			} else if strings.ContainsRune(`'"`, rune(sql[0])) {
				n = len(sql)
			}
		}
		sql = sql[n:]
	}
	return ""
}

// sqlComment returns the length of the comment, which may nest, at the start
// of sql.
func sqlComment(sql string) int {
	depth := 0
	for i := 0; i+1 < len(sql); i++ {
		switch sql[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			depth--
			i++
			if depth == 0 {
				return i + 1
			}
		}
	}
	return len(sql)
}
