package source

import (
	"strings"
	"testing"
)

func TestTrimSQL_CutsWhatCannotStandInParentheses(t *testing.T) {
	for _, test := range []struct{ sql, want string }{
		{"SELECT 1", "SELECT 1"},
		{"SELECT 1;", "SELECT 1"},
		{" \n SELECT 1 ; ;\n\t", " \n SELECT 1"},
		{"SELECT 1; -- done", "SELECT 1"},
		{"SELECT 1 -- it's; not over\n;", "SELECT 1"},
		{"SELECT 1 /* a /* nested; */ one */;", "SELECT 1"},
		{"SELECT ';'", "SELECT ';'"},
		{"SELECT '--';", "SELECT '--'"},
		{"SELECT 'it''s;';", "SELECT 'it''s;'"},
		{`SELECT E'\';--';`, `SELECT E'\';--'`},
		{`SELECT 'a\';`, `SELECT 'a\'`},
		{`SELECT "a;--b";`, `SELECT "a;--b"`},
		{"SELECT $$;--$$;", "SELECT $$;--$$"},
		{"SELECT $x$ $$ ; $x$;", "SELECT $x$ $$ ; $x$"},
		{"SELECT a$b$c;", "SELECT a$b$c"},
		{"SELECT 1; SELECT 2;", "SELECT 1; SELECT 2"}, // the server tells what is wrong
		{"SELECT 'open;", "SELECT 'open;"},
		{"SELECT 'ä' ;", "SELECT 'ä'"},
		{";", ""}, {"", ""}, {"-- nothing", ""},
	} {
		if got := trimSQL(test.sql); got != test.want {
			t.Errorf("trimSQL(%q): got %q, want %q", test.sql, got, test.want)
		}
	}
}

func TestFirstWord_PassesCommentsAndParentheses(t *testing.T) {
	for sql, want := range map[string]string{
		"select 1":                       "SELECT",
		"-- hello\n/* x */ ((Select 1))": "SELECT",
		"delete from x":                  "DELETE",
		"":                               "",
	} {
		if got := firstWord(sql); got != want {
			t.Errorf("firstWord(%q): got %q, want %q", sql, got, want)
		}
	}
}

func TestStatement_PlacesErrorsInTheUsersText(t *testing.T) {
	text := sqlText{query: "SELECT 'ä',\n  secret FORM x", where: "a = b"}
	st := text.build("SELECT *", []string{"q.x >= $1"}, " LIMIT 0")
	at := func(part string) int32 {
		return int32(len([]rune(st.text[:strings.Index(st.text, part)])) + 1)
	}
	for _, test := range []struct {
		position    int32
		place, word string
	}{
		{at("SELECT 'ä'"), "query, line 1, column 1", "SELECT"},
		{at("'ä'"), "query, line 1, column 8", ""},
		{at("FORM"), "query, line 2, column 10", "FORM"},
		{at("\n) AS q"), "query, line 2, column 16", ""},
		{at(") AS q"), "query, line 2, column 16", ""},
		{at(" AS q"), "", ""},
		{at("a = b"), "where, line 1, column 1", "a"},
		{at("b\n"), "where, line 1, column 5", "b"},
		{at("q.x"), "", ""},
		{1, "", ""}, {0, "", ""}, {-1, "", ""}, {9999, "", ""},
	} {
		if got := st.place(test.position); got != test.place {
			t.Errorf("place(%d): got %q, want %q", test.position, got, test.place)
		}
		if got := st.word(test.position); got != test.word {
			t.Errorf("word(%d): got %q, want %q", test.position, got, test.word)
		}
	}
}
