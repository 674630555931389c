package main

import (
	"encoding/json"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"

	"tokenmigrate/migrate"
	"tokenmigrate/migrate/connect/sandbox"
	"tokenmigrate/migrate/report"
)

// paper is a terminal of endless height, as far as the program uses one: it
// keeps the lines, and those that were erased.
type paper struct {
	lines    [][]rune
	row, col int
	erased   []string
}

var control = regexp.MustCompile(`^\x1b\[([0-9]*)([A-Za-z])`)

// show takes what was written.
func (s *paper) show(text string) {
	for text != "" {
		if found := control.FindStringSubmatch(text); found != nil {
			n, _ := strconv.Atoi(found[1])
			switch found[2] {
			case "A":
				s.row = max(s.row-max(n, 1), 0)
			case "J":
				for i := s.row; i < len(s.lines); i++ {
					s.erased = append(s.erased, string(s.lines[i]))
				}
				s.lines = s.lines[:min(s.row, len(s.lines))]
			}
			text = text[len(found[0]):]
			continue
		}
		r, size := utf8.DecodeRuneInString(text)
		text = text[size:]
		switch r {
		case '\n':
			s.row++
		case '\r':
			s.col = 0
		default:
			for len(s.lines) <= s.row {
				s.lines = append(s.lines, nil)
			}
			line := s.lines[s.row]
			for len(line) <= s.col {
				line = append(line, ' ')
			}
			line[s.col] = r
			s.lines[s.row] = line
			s.col++
		}
	}
}

// onTerminal runs a command on a terminal of 100 columns and returns what was
// shown there, with its exit code.
func (r *rig) onTerminal(args ...string) (*paper, int) {
	r.Helper()
	terminal, tty, err := pty.Open()
	if err != nil {
		r.Fatal(err)
	}
	defer terminal.Close()
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 40, Cols: 100}); err != nil {
		r.Fatal(err)
	}
	cmd := exec.CommandContext(r.Context(), built.path(r.T), append(args, "-c", r.file())...)
	cmd.Env = append(bareEnvironment(), "TERM=xterm")
	for name, value := range r.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Stdout, cmd.Stderr = tty, tty
	if err := cmd.Start(); err != nil {
		r.Fatal(err)
	}
	_ = tty.Close()
	var all strings.Builder
	buffer := make([]byte, 64<<10)
	for {
		n, err := terminal.Read(buffer)
		all.Write(buffer[:n])
		if err != nil { // EIO: nobody has the other side open any more
			break
		}
	}
	_ = cmd.Wait() // the state tells
	s := &paper{}
	s.show(all.String())
	return s, cmd.ProcessState.ExitCode()
}

// a bar as it stands on the screen, with how far it is.
var barLine = regexp.MustCompile(`^([0-9,]+) of (~?)([0-9,]+) \[`)

// On a terminal there is a bar, and no log line is torn by it.
func TestBar_TearsNoLine(t *testing.T) {
	t.Parallel()
	const rows = 400
	r := newRig(t, sandbox.Options{Latency: 100 * time.Millisecond}).fill(rows).with("send.chunk_tokens", "10", "send.concurrency", "2", "source.page_size", "100")
	s, code := r.onTerminal("run", "--log-format", "json", "--log-level", "trace")
	if code != 0 {
		t.Errorf("exit code: got %d, want 0", code)
	}
	shown := make(map[string]int)
	report := false
	for _, runes := range s.lines {
		line := string(runes)
		report = report || strings.Contains(line, "Run of migration")
		if report { // what comes after it is text
			continue
		}
		var said struct{ Message, Key string }
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			t.Errorf("a torn line: %q", line)
		}
		if said.Message == "row" {
			shown[said.Key]++
		}
		if said.Message == "progress" {
			t.Errorf("the bar tells the progress, and so does a line: %q", line)
		}
	}
	if !report {
		t.Error("the report is not on the screen")
	}
	// Those imported by the first walk, and found unchanged by the second.
	for n := 1; n <= rows; n++ {
		if key := strconv.Itoa(n); shown[key] != 2 {
			t.Errorf("row %s has %d lines, want 2", key, shown[key])
		}
	}
	frames, moved, paced := 0, map[string]bool{}, false
	for _, line := range s.erased {
		found := barLine.FindStringSubmatch(line)
		if n := utf8.RuneCountInString(line); n > 100 {
			t.Errorf("the bar has %d columns of 100: %q", n, line)
		}
		if found == nil {
			if line != "" && !strings.HasPrefix(line, "starting") {
				t.Errorf("erased, and not the bar: %q", line)
			}
			continue
		}
		frames++
		moved[found[1]] = true
		paced = paced || strings.Contains(line, "1000000/min") && strings.Contains(line, "left")
	}
	if frames < 5 || len(moved) < 3 || !paced {
		t.Errorf("got %d frames of the bar with %d different numbers, pace and time left shown: %v; want more than 5, 3 and true; erased:\n%s", frames, len(moved), paced, strings.Join(s.erased, "\n"))
	}
}

// Where nobody looks lines tell the progress, and there is no bar.
func TestBar_OnlyOnATerminal(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(20)
	p := r.must(0, "run")
	if said := p.stderr.String(); strings.Contains(said, "\x1b") || strings.Contains(said, "\r") {
		t.Errorf("stderr: got %q, want whole lines alone", said)
	}
	for line := range strings.Lines(p.stderr.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not a line of JSON: %q", line)
		}
	}
}

func TestBarWords(t *testing.T) {
	t.Parallel()
	begun := time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	run := func(change func(*migrate.Now)) *migrate.Now {
		n := &migrate.Now{Begun: true, Total: 20_000, Estimated: true, Report: &report.Report{
			Mode: "run", Counts: report.Counts{Read: 1500, Imported: 1000, Pending: 500}, Remaining: report.Remaining{Rows: 18_500, Estimated: true},
			Pace:  report.Pace{RequestsPerMinute: 40, Current: 40, Waiting: "pace"},
			Calls: report.Calls{Made: 10, Tokens: 1000},
		}}
		change(n)
		return n
	}
	for _, c := range []struct {
		name        string
		now         *migrate.Now
		left, right string
		done, total int64
	}{
		{"not begun", run(func(n *migrate.Now) { n.Begun = false }), "starting", "", 0, 0},
		{"waits for the lease", run(func(n *migrate.Now) {
			*n = migrate.Now{Begun: true, Report: &report.Report{Mode: "run", Pace: report.Pace{Waiting: "lease"}}}
		}), "0 of 0", "waiting: lease", 0, 0},
		{"estimated", run(func(*migrate.Now) {}), "1,000 of ~20,000", "40/min 4m45s left ", 1000, 20_000},
		{"counted, throttled", run(func(n *migrate.Now) {
			n.Estimated, n.Report.Pace.Current, n.Report.Pace.Waiting = false, 17.51953, "throttled until 12:00:00"
		}), "1,000 of 20,000", "17.5/min waiting: throttled until 12:00:00", 1000, 20_000},
		{"dry", run(func(n *migrate.Now) {
			n.Report.Mode, n.Report.Pace.Waiting, n.Report.Calls = "dry-run", "", report.Calls{}
		}), "1,500 of ~20,000", "2m3s left ", 1500, 20_000},
	} {
		words := barWords{begun: begun}
		done, total := words.look(c.now, begun.Add(10*time.Second))
		if words.left != c.left || words.right != c.right || done != c.done || total != c.total {
			t.Errorf("%s: got %q, %q, %d of %d; want %q, %q, %d of %d", c.name, words.left, words.right, done, total, c.left, c.right, c.done, c.total)
		}
	}
}
