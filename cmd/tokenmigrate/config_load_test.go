package main

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"tokenmigrate/source/stores"
)

// withoutPG takes the variables away that complete connection strings.
func withoutPG(t testing.TB) {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "PG") {
			t.Setenv(name, "")
			os.Unsetenv(name)
		}
	}
	// No passwords or services from the home of whoever runs the tests.
	t.Setenv("PGPASSFILE", "/nonexistent")
	t.Setenv("PGSERVICEFILE", "/nonexistent")
}

// lookupIn makes a getenv of a map.
func lookupIn(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		text, ok := env[name]
		return text, ok
	}
}

// loadText loads a configuration file c.yaml of that text. Where it is refused,
// the problems are returned, the file's folder left out.
func loadText(t testing.TB, text string, need need, env map[string]string) (*Config, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := loadConfig(path, need, lookupIn(env))
	if err == nil {
		return cfg, ""
	}
	var all *configError
	if !errors.As(err, &all) || len(all.Problems) == 0 {
		t.Fatalf("got the error %T %v, want a *configError with problems", err, err)
	}
	return nil, strings.ReplaceAll(err.Error(), path, "c.yaml")
}

func TestLoadConfig_TellsProblems(t *testing.T) {
	withoutPG(t)
	env := map[string]string{
		"EMPTY": "",
		"URL":   "postgres://u:pw1234@127.0.0.1/db",
		"PW":    "hunter2hunter2",
		"ATPW":  "p@ss/word",
		"WORD":  "sesame-open",
		"NL":    "two\nlines",
		"BIN":   "\xff",
		"NUL":   "a\x00b",
	}
	table, err := os.ReadFile("testdata/config_problems.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, cases, _ := strings.Cut(string(table), "\n== ")
	for c := range strings.SplitSeq(cases, "\n== ") {
		head, body, _ := strings.Cut(c, "\n")
		name, letters, _ := strings.Cut(head, " | ")
		text, want, found := strings.Cut(body, "\n--\n")
		if !found {
			t.Fatalf("the case %q has no line of two dashes", name)
		}
		var need need
		for _, letter := range letters {
			need |= needLetters[letter]
		}
		t.Run(name, func(t *testing.T) {
			cfg, got := loadText(t, text+"\n", need, env)
			if got == "" {
				for _, w := range cfg.Warnings {
					got += "warning: c.yaml" + strings.TrimPrefix(w.String(), w.File) + "\n"
				}
				got += "ok"
			}
			if want = strings.TrimSpace(want); got != want {
				t.Errorf("got\n%s\nwant\n%s\nfor\n%s", got, want, text)
			}
			for _, value := range env {
				if value != "" && strings.Contains(got, value) {
					t.Errorf("a problem holds the value %q of a variable:\n%s", value, got)
				}
			}
		})
	}
}

var needLetters = map[rune]need{'s': needSource, 'd': needDestination, 'c': needCredential, 'k': needCheckpoint}

func TestLoadConfig_TellsBytesThatAreNoText(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "c.yaml: the configuration file is empty; begin with the example configuration"},
		{"byte order mark", "\ufeffmigration: m\n", ""},
		{"carriage returns", "migration: m\r\nsend:\r\n  timeout: 5\r\n",
			`c.yaml:3: send.timeout: "5" is not a duration; write a number with one of the units ms, s, m, h, d, w, such as 60s or 3650d`},
		{"UTF-16", "\xff\xfem\x00", "c.yaml: the configuration file is UTF-16; save it as UTF-8"},
		{"not UTF-8", "migration: m\nx: \xe4\n", "c.yaml:2: the text is not UTF-8; save the file as UTF-8"},
		{"control character", "migration: m\n\n# \x1b[0m\n", "c.yaml:3: there is a control character (code 27); remove it"},
		{"tab before a key", "migration: m\n\tsend: {}\n",
			"c.yaml:2: not valid YAML: found a tab in the indentation; indent with spaces (while scanning a plain scalar that begins in line 1)"},
		{"tab in a section", "send:\n\ttimeout: 5s\n", "c.yaml:2: not valid YAML: found a tab in the indentation; indent with spaces"},
		{"largest", "migration: m\n#" + strings.Repeat("x", maxConfigFile-14), ""},
		{"too large", "migration: m\n#" + strings.Repeat("x", maxConfigFile-13), "c.yaml: the configuration file is larger than 1024 KiB; is it the right one?"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, got := loadText(t, c.text, 0, nil); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestLoadConfig_TellsFilesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		dir:                           dir + ": the configuration file is a directory; name a file",
		filepath.Join(dir, "no.yaml"): filepath.Join(dir, "no.yaml") + ": the configuration file does not exist; create it, or correct the path",
	} {
		_, err := loadConfig(path, 0, lookupIn(nil))
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// fullConfig has every key that a file can have at once, and none at its default.
const fullConfig = `
migration: ${NAME}
source:
  url: postgres://reader@db.example:5433/app?sslmode=verify-full
  password: ${file:DIR/source}
  query: "SELECT '$${x}' $$a$$"
  where: provider = '${PROVIDER}'
  page_size: ${PAGE}
  missing_expiry: {default: 12h, github: 3650d, slack: reject, google: 1w}
destination:
  url: http://localhost:8099/
  token: ${file:DIR/token}
  slug: ${SLUG}
  connectors:
    slack: slack/acme
    github: scl_${ID}
    google: skip
  environment: env_abc
checkpoint:
  url: host=${HOST} user=keeper dbname=state sslmode=require application_name='it\'s'
  password: pass word
  schema: tokens_2
send:
  requests_per_minute: ${RPM}
  chunk_tokens: 7
  chunk_bytes: 512KiB
  concurrency: 64
  timeout: ${TIMEOUT}
  max_attempts: 3
  outage_wait: 1h30m
policy:
  expired: send
  changed: skip
  in_doubt: ${DOUBT}
  duplicates: send
  passes: 5
  max_failed: 0.1%
  stop_after_failures: 12.5%
`

func fullConfigEnv(t testing.TB) (text string, env map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"source": "s0urce-pw\n", "token": "vca_credential\r\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return strings.ReplaceAll(fullConfig, "DIR", dir), map[string]string{
		"NAME": "acme-2", "PROVIDER": "${NOT_AGAIN}", "PAGE": "100000", "SLUG": "acme", "ID": "abc", "HOST": "/run/postgresql",
		"RPM": " 50", "TIMEOUT": "90s", "DOUBT": "fresh",
	}
}

func TestLoadConfig_TakesEveryKey(t *testing.T) {
	withoutPG(t)
	text, env := fullConfigEnv(t)
	cfg, problems := loadText(t, text, needAll, env)
	if problems != "" {
		t.Fatal(problems)
	}
	src, state := cfg.Source.DB, cfg.Checkpoint.DB
	type db struct{ host, user, name, password string }
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"migration", cfg.Migration, "acme-2"},
		{"source", db{src.Host, src.User, src.Database, src.Password}, db{"db.example", "reader", "app", "s0urce-pw"}},
		{"source's port", src.Port, uint16(5433)},
		{"source's server name", src.TLSConfig.ServerName, "db.example"},
		{"query", cfg.Source.Query, "SELECT '${x}' $$a$$"},
		{"where", cfg.Source.Where, "provider = '${NOT_AGAIN}'"},
		{"page size", cfg.Source.PageSize, 100_000},
		{"missing expiry", cfg.Source.MissingExpiry, MissingExpiry{12 * time.Hour, map[string]time.Duration{
			"github": 3650 * 24 * time.Hour, "slack": 0, "google": 7 * 24 * time.Hour}, true}},
		{"url", cfg.Destination.URL, "http://localhost:8099"},
		{"token", cfg.Destination.Token.Reveal(), "vca_credential"},
		{"token's file", filepath.Base(cfg.Destination.TokenFile), "token"},
		{"team", cfg.Destination.TeamID + "," + cfg.Destination.Slug, ",acme"},
		{"connectors", cfg.Destination.Connectors, map[string]string{"slack": "slack/acme", "github": "scl_abc", "google": "skip"}},
		{"environment", cfg.Destination.Environment, "env_abc"},
		{"checkpoint", db{state.Host, state.User, state.Database, state.Password}, db{"/run/postgresql", "keeper", "state", "pass word"}},
		{"schema", cfg.Checkpoint.Schema, "tokens_2"},
		{"send", cfg.Send, SendConfig{50, 7, 512 << 10, 64, 90 * time.Second, 3, 90 * time.Minute}},
		{"policy", cfg.Policy, PolicyConfig{"send", "skip", "fresh", "send", 5, MaxFailed{Share: 1000}, 125_000}},
		{"warnings, of the written out password", len(cfg.Warnings), 1},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: got %+v, want %+v", c.what, c.got, c.want)
		}
	}
}

func TestLoadConfig_TouchesOnlyWhatTheCommandUses(t *testing.T) {
	withoutPG(t)
	for _, c := range []struct {
		name string
		need need
		want string // variables that are looked up
	}{
		{"status", needCheckpoint, "HOST NAME"},
		{"dry run", needSource | needDestination | needCheckpoint, "DOUBT HOST ID NAME PAGE PROVIDER RPM SLUG TIMEOUT"},
		{"run", needAll, "DOUBT HOST ID NAME PAGE PROVIDER RPM SLUG TIMEOUT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text, env := fullConfigEnv(t)
			asked := map[string]bool{}
			path := filepath.Join(t.TempDir(), "c.yaml")
			if c.need&needCredential == 0 {
				text = regexp.MustCompile(`token: .*`).ReplaceAllString(text, "token: ${VERCEL_TOKEN}")
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg, err := loadConfig(path, c.need, func(name string) (string, bool) {
				asked[name] = true
				text, ok := env[name]
				return text, ok
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(slices.Sorted(maps.Keys(asked)), " "); got != c.want {
				t.Errorf("looked up %s, want %s", got, c.want)
			}
			if got, want := cfg.Source.DB != nil, c.need&needSource != 0; got != want {
				t.Errorf("a source database: %t, want %t", got, want)
			}
			if got, want := !cfg.Destination.Token.Empty(), c.need&needCredential != 0; got != want {
				t.Errorf("a credential: %t, want %t", got, want)
			}
		})
	}
}

func TestLoadConfig_KnowsTheStores(t *testing.T) {
	withoutPG(t)
	env := map[string]string{"STORE": "authjz", "KEY": "k3y-text"}
	text := func(store, rest string) string {
		return "migration: m\nsource:\n  url: postgres://localhost/db\n  store: " + store + "\n" + rest
	}
	cfg, problems := loadText(t, text("Better-Auth", "  params: {table: accounts}\n  decrypt: {secret: \"${KEY}\"}\n"), needSource, env)
	if problems != "" {
		t.Fatal(problems)
	}
	if cfg.Source.Store != "better-auth" || cfg.Source.Params["table"] != "accounts" || cfg.Source.Decrypt["secret"].Reveal() != "k3y-text" {
		t.Errorf("got %+v with the key %q, want the store better-auth with its table and key", cfg.Source, cfg.Source.Decrypt["secret"].Reveal())
	}
	known := strings.Join(stores.Names(), ", ")
	for _, c := range []struct{ store, rest, want string }{
		{"authjz", "", `c.yaml:4: source.store: "authjz" is not a known store; did you mean authjs? known: ` + known},
		{"x", "", `c.yaml:4: source.store: "x" is not a known store; known: ` + known},
		{"${STORE}", "", `c.yaml:4: source.store: the value of ${STORE} is not a known store; known: ` + known},
		{"authjs", "  params: {tabel: accounts}", `c.yaml:5: source.params.tabel: is not a parameter of store authjs; did you mean table? Known are table, key, user_id, provider_account_id, refresh_token_expires_at, oauth_token, providers`},
		{"authjs", "  decrypt: {secret: x}", `c.yaml:5: source.decrypt.secret: is not needed: store authjs keeps nothing encrypted; remove it`},
		{"better-auth", "  decrypt: {secert: x}", `c.yaml:5: source.decrypt.secert: is not a key of store better-auth; did you mean secret? Known are `},
		{"supabase", "", `c.yaml:4: source.store: "supabase" is no store of tokens: `},
	} {
		if _, got := loadText(t, text(c.store, c.rest), needSource, env); !strings.HasPrefix(got, c.want) {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

// exampleEnv sets what the example takes from outside.
var exampleEnv = map[string]string{
	"SOURCE_DATABASE_URL":     "postgres://reader:secret@db.example/app?sslmode=verify-full",
	"CHECKPOINT_DATABASE_URL": "postgres://keeper:secret@db.example/app?sslmode=verify-full",
	"VERCEL_TOKEN":            "vca_secret",
}

func TestExampleConfig_LoadsAndShowsTheDefaults(t *testing.T) {
	withoutPG(t)
	got, problems := loadText(t, exampleConfig, needAll, exampleEnv)
	if problems != "" {
		t.Fatal(problems)
	}
	bare, problems := loadText(t, "migration: m\n", 0, nil)
	if problems != "" {
		t.Fatal(problems)
	}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"send", got.Send, bare.Send},
		{"policy", got.Policy, bare.Policy},
		{"page_size", got.Source.PageSize, bare.Source.PageSize},
		{"missing_expiry", got.Source.MissingExpiry.Default, bare.Source.MissingExpiry.Default},
		{"where", got.Source.Where, bare.Source.Where},
		{"url", got.Destination.URL, bare.Destination.URL},
		{"environment", got.Destination.Environment, bare.Destination.Environment},
		{"schema", got.Checkpoint.Schema, bare.Checkpoint.Schema},
		{"send as documented", bare.Send, SendConfig{40, 100, 1 << 20, 4, time.Minute, 8, 10 * time.Minute}},
		{"policy as documented", bare.Policy, PolicyConfig{"skip", "send", "send", "reject", 2, MaxFailed{}, 200_000}},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: got %+v, want %+v", c.what, c.got, c.want)
		}
	}
}

// TestExampleConfig_HasEveryKey also reads the keys that stand in comments.
func TestExampleConfig_HasEveryKey(t *testing.T) {
	withoutPG(t)
	commented := regexp.MustCompile(`(?m)^( *)# (( *)[a-z_]+:( [^ ]+)?)$`)
	text := commented.ReplaceAllString(exampleConfig, "$1$2")
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l := &loader{file: path, need: needAll, getenv: lookupIn(exampleEnv)}
	root := l.read()
	if root == nil {
		t.Fatalf("%v\n%s", l.problems, text)
	}
	l.config(new(Config), root)
	l.unknownKeys()
	for _, p := range l.problems {
		if strings.Contains(p.Text, "unknown key") {
			t.Error(p)
		}
	}
	known := 0
	for _, s := range l.sections {
		for name := range s.values {
			known++
			if !slices.ContainsFunc(s.fields, func(f field) bool { return f.name == name }) {
				t.Errorf("the example lacks the key %s", joinKey(s.path, name))
			}
		}
	}
	if known < 35 {
		t.Errorf("the loader knows only %d keys; does this test still see them?", known)
	}
}
