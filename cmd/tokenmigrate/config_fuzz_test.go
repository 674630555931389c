package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// FuzzConfig feeds files and the value that every variable in them has. The
// loader must not panic, must say everything in sorted single lines, and must
// never tell the value.
func FuzzConfig(f *testing.F) {
	withoutPG(f)
	table, err := os.ReadFile("testdata/config_problems.txt")
	if err != nil {
		f.Fatal(err)
	}
	values := []string{"", "@/:?#%", "' = ", "1\n2", "://", "\xff", "${A}", "postgres://u:pw@"}
	for i, c := range strings.Split(string(table), "\n== ")[1:] {
		_, body, _ := strings.Cut(c, "\n")
		text, _, _ := strings.Cut(body, "\n--\n")
		f.Add([]byte(text), values[i%len(values)])
	}
	f.Add([]byte(exampleConfig), "x")
	f.Add([]byte(fullConfig), "60")
	for _, key := range []string{"migration", "source:\n  url", "source:\n  password", "source:\n  page_size", "destination:\n  url",
		"destination:\n  token", "destination:\n  connectors", "checkpoint:\n  url", "checkpoint:\n  schema", "send:\n  timeout", "policy:\n  max_failed"} {
		for _, v := range values {
			f.Add([]byte(key+": ${A}\n"), v)
			f.Add([]byte(key+": postgres://u:${A}@db.example:${A}/x?sslmode=${A}\n"), v)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, value string) {
		const planted = "zQ7xJ9vK"
		if strings.Contains(string(text), planted[:4]) || strings.Contains(string(text), "file:/") {
			t.Skip("holds the value itself, or names a file of this machine")
		}
		value = planted + value + planted
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := loadConfig(path, needAll, func(string) (string, bool) { return value, true })
		var told []problem
		if err == nil {
			told = cfg.Warnings
			checkGood(t, cfg, value, planted)
		} else {
			var all *configError
			if !errors.As(err, &all) || len(all.Problems) == 0 {
				t.Fatalf("got the error %T %v, want a *configError with problems", err, err)
			}
			told = all.Problems
		}
		if !slices.IsSortedFunc(told, func(a, b problem) int { return a.Line - b.Line }) {
			t.Errorf("problems are not sorted by line: %v", told)
		}
		for _, p := range told {
			if s := p.String(); strings.Contains(s, planted[:4]) || strings.ContainsAny(s, "\n\r") || p.Text == "" {
				t.Errorf("%q tells a value, is empty or has several lines", s)
			}
		}
	})
}

// checkGood checks what holds for every file that was found good.
func checkGood(t *testing.T, cfg *Config, value, planted string) {
	t.Helper()
	if cfg.Source.DB == nil || cfg.Checkpoint.DB == nil || cfg.Destination.Token.Empty() || !migrationName.MatchString(cfg.Migration) {
		t.Errorf("%v was found good and lacks what is required", cfg)
	}
	if (cfg.Source.Query == "") == (cfg.Source.Store == "") {
		t.Errorf("the query %q beside the store %q was found good", cfg.Source.Query, cfg.Source.Store)
	}
	if !strings.Contains(cfg.Destination.Token.Reveal(), planted) {
		return // no variable was used there
	}
	if got := cfg.Redact("a " + value + " b"); strings.Contains(got, planted) {
		t.Errorf("got %q of a text with the value in use", got)
	}
}
