package main

import (
	"strings"
	"testing"

	"tokenmigrate/migrate/connect/sandbox"
)

// What a connector that refuses leaves pending has no failure of its own: stderr
// tells of it, and explain tells why.
func TestFailures_TellWhatIsPending(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{Connectors: []string{"slack/acme"}}).fill(20).with("policy.max_failed", "100")
	r.exec(`UPDATE accounts SET connector = 'github/acme' WHERE id > 15`)
	r.must(0, "run")
	for _, c := range []struct {
		args []string
		says string
	}{
		{nil, "5 rows are pending"},
		{[]string{"--connector", "github/acme"}, `5 rows of connector "github/acme" are pending`},
		{[]string{"--connector", "slack/acme"}, ""},
		{[]string{"--reason", "refused"}, ""},
	} {
		said := r.must(0, append([]string{"failures"}, c.args...)...).stderr.String()
		if told := strings.Contains(said, "pending"); told != (c.says != "") || !strings.Contains(said, c.says) || told != strings.Contains(said, "connector github/acme refuses, ") {
			t.Errorf("%q: got %q, want %q and why", c.args, said, c.says)
		}
	}
	if p := r.must(0, "failures", "--connector", "githup/acme"); !strings.Contains(p.stderr.String(), `no row is for the connector "githup/acme"; did you mean github/acme?`) {
		t.Errorf("a connector that there is not: got %q", p.stderr.String())
	}
	if e, text := r.explain("16"); len(e.Notes) == 0 || !strings.Contains(text, "connector github/acme refuses, ") {
		t.Errorf("explain does not tell that the connector refused:\n%s", text)
	}
	if _, text := r.explain("1"); strings.Contains(text, "refuses") {
		t.Errorf("explain of another connector's row tells of it:\n%s", text)
	}
}

// A key may be given as the reports print it.
func TestExplain_TakesPrintedKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(2)
	r.exec(`ALTER TABLE accounts ALTER id TYPE text`)
	r.exec(`UPDATE accounts SET id = E'a\nb\\c' || U&'\202E' WHERE id = '1'`)
	if e, _ := r.explain(`a\nb\c\u202e`); e.Key != "a\nb\\c\u202e" {
		t.Errorf("got key %q", e.Key)
	}
	said := r.must(78, "explain", `x\ny`).stderr.String()
	if !strings.Contains(said, "exact keys") {
		t.Errorf("an unknown key: got %q, want it to tell where keys stand exactly", said)
	}
}

func TestUnprinted(t *testing.T) {
	t.Parallel()
	for printed, want := range map[string]string{
		"plain": "plain", `a\tb`: "a\tb", `c:\dir`: `c:\dir`, `\x1b[2J`: "\x1b[2J", `\u202e`: "\u202e", `\U000e0001`: "\U000e0001",
		`\xff`: `\xff`, `\x00`: `\x00`, `\`: `\`,
	} {
		if got := unprinted(printed); got != want {
			t.Errorf("%q: got %q, want %q", printed, got, want)
		}
	}
}

// What the environment gives yields to the command line, and is no error.
func TestReport_EnvironmentYields(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(3)
	r.must(0, "run", "--report", r.path("run.json"))
	other := "TOKENMIGRATE_CONFIG=" + r.path("missing.yaml")
	for _, c := range []struct {
		name string
		env  []string
		args []string
		code int
	}{
		{"--from beside TOKENMIGRATE_CONFIG", []string{other}, []string{"--from", r.path("run.json")}, 0},
		{"both in the environment", []string{other, "TOKENMIGRATE_FROM=" + r.path("run.json")}, nil, 0},
		{"-c and --from", nil, []string{"-c", r.file(), "--from", r.path("run.json")}, 78},
	} {
		p := &process{rig: r, name: c.name, ended: make(chan struct{})}
		if got := p.launch(c.env, nil, append([]string{"report"}, c.args...)).wait(); got != c.code {
			t.Errorf("%s: got exit code %d, want %d\n%s", c.name, got, c.code, p.said())
		}
	}
	r.env["TOKENMIGRATE_SHOW_SUBJECTS"] = "true"
	r.must(0, "report")
	r.env["TOKENMIGRATE_FROM"] = r.path("missing.json")
	r.must(0, "report") // -c is on the command line
}
