package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The colours of a terminal that any theme keeps readable.
const (
	bold   = "1"
	red    = "1;31"
	green  = "1;32"
	yellow = "1;33"
	cyan   = "1;36"
)

var levelColors = map[Level]string{Good: green, Mind: yellow, Bad: red, Busy: cyan}

// text collects lines, coloured or not.
type text struct {
	b     strings.Builder
	color bool
}

func (t *text) line(format string, args ...any) {
	t.b.WriteString(strings.TrimRight(fmt.Sprintf(format, args...), " "))
	t.b.WriteByte('\n')
}

func (t *text) paint(color, s string) string {
	if !t.color {
		return s
	}
	return "\x1b[" + color + "m" + s + "\x1b[0m"
}

// table aligns cells: words to the left, numbers to the right.
type table struct {
	words int // the first so many columns are words
	left  int // and those from this one on; 0: no others
	rows  [][]string
}

// newTable returns a table with a header row, whose first words columns are
// words.
func newTable(words int, header ...string) *table {
	return &table{words: words, rows: [][]string{header}}
}

// maxWidth is how many characters a cell has at most.
const maxWidth = 80

// row adds one. Control characters in a cell (a key may have any) are spelled
// out: they would break the table, or speak to the terminal. Cells are cut to
// maxWidth, since one that is long widens all rows; but not a row's last, which
// widens none.
func (t *table) row(cells ...string) {
	for i, c := range cells {
		cells[i] = printable(c)
		if runes := []rune(cells[i]); len(runes) > maxWidth && i < len(cells)-1 {
			cells[i] = string(runes[:maxWidth-1]) + "…"
		}
	}
	t.rows = append(t.rows, cells)
}

func printable(s string) string {
	quoted := strconv.Quote(s)
	if len(quoted) == len(s)+2 {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`), `\\`, `\`)
}

func (t *table) print(to *text) {
	widths := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for n, row := range t.rows {
		var b strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i > 0 {
				b.WriteString("  ")
			}
			if i < t.words || t.left > 0 && i >= t.left {
				b.WriteString(cell + pad)
			} else {
				b.WriteString(pad + cell)
			}
		}
		line := strings.TrimRight(b.String(), " ")
		if n == 0 {
			line = to.paint(bold, line)
		}
		to.line("%s", line)
	}
}

// number writes n with separators: 1,234,567.
func number(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// count writes "1 call" or "1,234 calls".
func count(n int64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return number(n) + " " + word + "s"
}

// duration writes seconds as 12s, 3m20s, 5h13m or 3d4h; 0s is nothing at all.
func duration(seconds float64) string {
	if seconds > math.MaxInt64/1e10 || math.IsNaN(seconds) {
		return "for ever"
	}
	d := time.Duration(seconds * float64(time.Second)).Round(time.Second)
	if d == 0 && seconds > 0 {
		d = time.Second
	}
	switch {
	case d >= 100*time.Hour:
		d = d.Round(time.Hour)
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	case d >= time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return d.String()
}

// decimal writes 40, 0.5 or 1,234,567: two places at most.
func decimal(f float64) string {
	if f == math.Trunc(f) && math.Abs(f) < 1e15 {
		return number(int64(f))
	}
	return strconv.FormatFloat(math.Round(f*100)/100, 'f', -1, 64)
}

// size writes 512 B, 1.5 KiB or 12.3 MiB.
func size(n int64) string {
	switch f := float64(n); {
	case n < 1<<10:
		return strconv.FormatInt(n, 10) + " B"
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", f/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", f/(1<<20))
	default:
		return fmt.Sprintf("%.1f GiB", f/(1<<30))
	}
}
