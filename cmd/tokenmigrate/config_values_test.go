package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSplitParts(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"plain $ $$ $1 {x} $}", "[plain $ $$ $1 {x} $}]"},
		{"${A}", "name A"},
		{"a${A_1}b${_b}", "[a] name A_1 [b] name _b"},
		{"${file:/run/secrets/x y}", "file /run/secrets/x y"},
		{"$${A}", "[${A}]"},
		{"$$${A}", "[$${A}]"},
		{"${A}$${B}${C}", "name A [${B}] name C"},
		{"${A}}", "name A [}]"},
		{"${", "error: has a ${ without its }; close it, or write $${ for a plain ${"},
		{"x${A", "error: has a ${ without its }; close it, or write $${ for a plain ${"},
		{"${A${B}}", "error: ${A${B} names no variable; write ${NAME} with letters, digits and _, ${file:/path}, or $${ for a plain ${"},
		{"${1A}", "error: ${1A} names no variable; write ${NAME} with letters, digits and _, ${file:/path}, or $${ for a plain ${"},
		{"${ A }", "error: ${A} names no variable; write ${NAME} with letters, digits and _, ${file:/path}, or $${ for a plain ${"},
		{"${file:}", "error: ${file:} has no absolute path; write ${file:/path/to/file}"},
		{"${file:x/y}", "error: ${file:x/y} has no absolute path; write ${file:/path/to/file}"},
	} {
		parts, err := splitParts(c.text)
		var words []string
		for _, p := range parts {
			switch {
			case p.name != "":
				words = append(words, "name "+p.name)
			case p.file != "":
				words = append(words, "file "+p.file)
			default:
				words = append(words, "["+p.literal+"]")
			}
		}
		got := strings.Join(words, " ")
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != c.want {
			t.Errorf("%q: got %q, want %q", c.text, got, c.want)
		}
	}
}

func TestReadSecretFile_LeavesOutOneLineBreak(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	for content, want := range map[string]string{
		"":                                   "",
		"\n":                                 "",
		"x":                                  "x",
		"x\n":                                "x",
		"x\r\n":                              "x",
		"x\n\n":                              "x\n",
		"x\r":                                "x\r",
		" x \n":                              " x ",
		strings.Repeat("y", maxSecretFile):   strings.Repeat("y", maxSecretFile),
		strings.Repeat("y", maxSecretFile+1): "error: is larger than 1024 KiB; is it the right one?",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readSecretFile(path)
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != want {
			t.Errorf("%.20q: got %.60q, want %.60q", content, got, want)
		}
	}
}

// showParsed makes one text of a result or its error.
func showParsed(result any, err error) string {
	if err != nil {
		return "error"
	}
	return fmt.Sprint(result)
}

func TestFileError(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{fs.ErrNotExist, "does not exist; create it, or correct the path"},
		{&fs.PathError{Op: "open", Path: "/x", Err: fs.ErrPermission}, "may not be read by this user; change its permissions"},
		{&fs.PathError{Op: "read", Path: "/x", Err: io.ErrUnexpectedEOF}, "cannot be read (unexpected EOF)"},
	} {
		if got := fileError(c.err).Error(); got != c.want {
			t.Errorf("%v: got %q, want %q", c.err, got, c.want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]string{
		"60s": "1m0s", "12h": "12h0m0s", "3650d": "87600h0m0s", "1w": "168h0m0s", "250ms": "250ms", "1h30m": "1h30m0s", "1.5h": "1h30m0s",
		"1d12h": "36h0m0s", "0s": "0s", "999999999999d": "2562047h47m16.854775807s",
		"": "error", "5": "error", "-5s": "error", "5 s": "error", "5S": "error", "s": "error", "5y": "error", "1e3s": "error", "5s x": "error", "inf": "error",
	} {
		if got := showParsed(parseDuration(text)); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestShowDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		7 * 24 * time.Hour: "7d", 90 * time.Minute: "90m", 36 * time.Hour: "36h", time.Second: "1s", time.Minute: "1m", 1500 * time.Millisecond: "1.5s",
	} {
		if got := showDuration(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]string{
		"1048576": "1048576", "1MiB": "1048576", "512KiB": "524288", "1MB": "1000000", "4kB": "4000", "4KB": "4000", "10 B": "10", "1GiB": "1073741824",
		"99999999999999999999GiB": "2147483647",
		"":                        "error", "-1": "error", "1.5MiB": "error", "1mib": "error", "1M": "error", "MiB": "error", "1e6": "error", "1  MiB": "error",
	} {
		if got := showParsed(parseSize(text)); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestParseShare(t *testing.T) {
	for text, want := range map[string]string{
		"20%": "20%", "0.1%": "0.1%", "0.0001%": "0.0001%", "100%": "100%", "12.50 %": "12.5%", "0%": "0%",
		"": "error", "20": "error", "0.2": "error", "-1%": "error", "0.00001%": "error", ".5%": "error", "5.%": "error", "%": "error",
	} {
		if got := showParsed(parseShare(text)); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestMaxFailed_Of(t *testing.T) {
	for _, c := range []struct {
		allowed    MaxFailed
		rows, want int64
	}{
		{MaxFailed{}, 1_000_000, 0},
		{MaxFailed{Tokens: 3}, 0, 3},
		{MaxFailed{Share: percent / 10}, 1000, 1},
		{MaxFailed{Share: percent / 10}, 999, 0},
		{MaxFailed{Share: 29 * percent}, 100, 29},
		{MaxFailed{Share: 100 * percent}, 1 << 42, 1 << 42},
	} {
		if got := c.allowed.Of(c.rows); got != c.want {
			t.Errorf("%+v of %d rows: got %d, want %d", c.allowed, c.rows, got, c.want)
		}
	}
}

func TestNearest(t *testing.T) {
	words := []string{"url", "password", "page_size", "missing_expiry"}
	for name, want := range map[string]string{
		"pagesize": "page_size", "PASSWORD": "password", "uri": "url", "missing_expires": "missing_expiry", "abc": "", "": "", "connector": "",
	} {
		if got := nearest(name, words); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func TestSQLPlaceholder(t *testing.T) {
	for sql, want := range map[string]string{
		"":                                  "",
		"select 1":                          "",
		"select $1":                         "$1",
		"select a where b=$23 or c=$1":      "$23",
		"select '$1', ''''||'$2'":           "",
		"select 'it''s $1', $2":             "$2",
		`select e'\'$1', E'\\', $3`:         "$3",
		`select "a$1""$2" from t`:           "",
		"select a$1, b_$2, é$3":             "",
		"select 1 -- $1\n":                  "",
		"select 1 -- $1\n, $2":              "$2",
		"select 1 /* $1 /* $2 */ $3 */":     "",
		"select /* x */ $4":                 "$4",
		"select $$ $1 $$, $t$ $$ $2 $t$":    "",
		"select $t$ $1 $t$ || $5":           "$5",
		"select 'not closed $1":             "",
		`select "not closed $1`:             "",
		"select $t$ not closed $1":          "",
		"select /* not closed $1":           "",
		"select 1 $ 2":                      "",
		"select x::text || '$2b$10$' || $6": "$6",
	} {
		if got := sqlPlaceholder(sql); got != want {
			t.Errorf("%q: got %q, want %q", sql, got, want)
		}
	}
}
