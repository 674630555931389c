package source

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// statement is SQL of ours around SQL of the user's, with the byte offsets where
// the user's own begins, so that an error's position can be told in their terms.
type statement struct {
	text         string
	query, where int // offsets of Options.Query and Options.Where; 0: not in it
	queryLen     int
	whereLen     int
}

// sqlText builds the statements of one reader.
type sqlText struct {
	query, where string // trimmed at the end only, so that positions hold
	shard        string // condition, or ""
}

// build returns `<head> FROM (<query>) AS q WHERE <where> AND <conds> <tail>`.
// The user's parts end in a newline, which ends a trailing -- comment.
func (t *sqlText) build(head string, conds []string, tail string) statement {
	var st statement
	var b strings.Builder
	b.WriteString(head)
	b.WriteString(" FROM (\n")
	st.query, st.queryLen = b.Len(), len(t.query)
	b.WriteString(t.query)
	b.WriteString("\n) AS q")
	glue := " WHERE "
	for _, cond := range conds {
		b.WriteString(glue + cond)
		glue = " AND "
	}
	if t.where != "" {
		b.WriteString(glue + "(\n")
		st.where, st.whereLen = b.Len(), len(t.where)
		b.WriteString(t.where)
		b.WriteString("\n)")
	}
	b.WriteString(tail)
	st.text = b.String()
	return st
}

// place tells where in the user's SQL a server's error position (characters,
// from 1; 0 where it gives none) lies: "query, line 2, column 8". It returns ""
// for positions in SQL of ours.
func (st *statement) place(position int32) string {
	at := byteOffset(st.text, position)
	if at < 0 {
		return ""
	}
	tell := func(name string, start, length int) string {
		// An unexpected end is reported at what we put behind: newline, parenthesis.
		if start == 0 || at < start || at > start+length+len("\n") {
			return ""
		}
		before := st.text[start:min(at, start+length)]
		line := 1 + strings.Count(before, "\n")
		column := 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
		return fmt.Sprintf("%s, line %d, column %d", name, line, column)
	}
	if s := tell("query", st.query, st.queryLen); s != "" {
		return s
	}
	return tell("where", st.where, st.whereLen)
}

// word returns the word (letters, digits, _) at a server's error position, or ""
// where something else stands, a literal for example, which may be a secret.
func (st *statement) word(position int32) string {
	at := byteOffset(st.text, position)
	if at < 0 || st.place(position) == "" {
		return ""
	}
	end := at // the SQL of ours behind the user's begins with no word
	for end < len(st.text) && isWord(st.text[end]) {
		end++
	}
	if at < end && st.text[at] >= '0' && st.text[at] <= '9' {
		return ""
	}
	return st.text[at:end]
}

// byteOffset turns a position in characters, from 1, into an offset, or -1.
func byteOffset(s string, position int32) int {
	if position < 1 {
		return -1
	}
	n := int32(1)
	for i := range s {
		if n == position {
			return i
		}
		n++
	}
	return len(s)
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= utf8.RuneSelf
}

// trimSQL cuts semicolons, space and comments off the end of one statement,
// which could not stand in parentheses otherwise. What comes before keeps its
// place.
func trimSQL(sql string) string {
	end := 0
	scanSQL(sql, func(start, stop int) {
		if sql[start:stop] != ";" {
			end = stop
		}
	})
	return sql[:end]
}

// firstWord returns the first word of a statement in upper case, behind
// comments and parentheses: "SELECT".
func firstWord(sql string) string {
	word := ""
	scanSQL(sql, func(start, stop int) {
		if word == "" && sql[start:stop] != "(" {
			word = strings.ToUpper(sql[start:stop])
		}
	})
	return word
}

// scanSQL calls piece with the bounds of each lexical piece of sql: a word, a
// quoted thing, or a single other character. Space and comments are no pieces.
// An unclosed quote or comment runs to the end; the server then tells.
func scanSQL(sql string, piece func(start, stop int)) {
	for i := 0; i < len(sql); {
		rest := sql[i:]
		stop := i + 1
		switch c := sql[i]; {
		case strings.IndexByte(" \t\r\n\f\v", c) >= 0:
			i++
			continue
		case strings.HasPrefix(rest, "--"):
			i = until(sql, i, "\n")
			continue
		case strings.HasPrefix(rest, "/*"):
			i = commentEnd(sql, i)
			continue
		case (c == 'e' || c == 'E') && strings.HasPrefix(rest[1:], "'"):
			stop = quoteEnd(sql, i+1, true)
		case c == '\'' || c == '"':
			stop = quoteEnd(sql, i, false)
		case c == '$' && dollarTag(rest) != "":
			tag := dollarTag(rest)
			stop = until(sql, i+len(tag), tag)
		case isWord(c):
			for stop < len(sql) && (isWord(sql[stop]) || sql[stop] == '$') {
				stop++
			}
		}
		piece(i, stop)
		i = stop
	}
}

// until returns the offset behind the next end at or after from, or len(sql).
func until(sql string, from int, end string) int {
	if n := strings.Index(sql[from:], end); n >= 0 {
		return from + n + len(end)
	}
	return len(sql)
}

// commentEnd returns the offset behind the /* comment at start; they nest.
func commentEnd(sql string, start int) int {
	depth := 0
	for i := start; i < len(sql); i++ {
		switch {
		case strings.HasPrefix(sql[i:], "/*"):
			depth++
			i++
		case strings.HasPrefix(sql[i:], "*/"):
			depth--
			i++
			if depth == 0 {
				return i + 1
			}
		}
	}
	return len(sql)
}

// quoteEnd returns the offset behind the quoted thing whose quote is at start.
// A doubled quote simply opens the next piece, which is as good here.
func quoteEnd(sql string, start int, backslash bool) int {
	for i := start + 1; i < len(sql); i++ {
		switch {
		case backslash && sql[i] == '\\':
			i++
		case sql[i] == sql[start]:
			return i + 1
		}
	}
	return len(sql)
}

// dollarTag returns the opening $tag$ of a dollar-quoted string, or "".
func dollarTag(s string) string {
	for i := 1; i < len(s); i++ {
		if s[i] == '$' {
			return s[:i+1]
		}
		if !isWord(s[i]) || i == 1 && s[i] >= '0' && s[i] <= '9' {
			break
		}
	}
	return ""
}

// shardCondition chooses the rows of one shard by a hash of the very text that
// Row.Key holds. COLLATE "C" makes it a hash of the bytes.
func shardCondition(shard, shards int, composite bool) string {
	text := `q."key"::text`
	if composite {
		text = encodedPart("key") + ` || '/' || ` + encodedPart("key_2")
	}
	n := strconv.Itoa(shards)
	// The hash may be negative, and the remainder with it.
	return `(hashtextextended((` + text + `) COLLATE "C", 0) % ` + n + ` + ` + n + `) % ` + n + ` = ` + strconv.Itoa(shard)
}

// encodedPart is encodePart in SQL.
func encodedPart(column string) string {
	return `replace(replace(q."` + column + `"::text, '%', '%25'), '/', '%2F')`
}
