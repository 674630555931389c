package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// loadDSN loads a file whose checkpoint is that connection string, quoted.
func loadDSN(t testing.TB, dsn, password string) (*Config, string) {
	t.Helper()
	text := "migration: m\ncheckpoint:\n  url: " + strconv.Quote(dsn) + "\n"
	if password != "" {
		text += "  password: " + strconv.Quote(password) + "\n"
	}
	cfg, problems := loadText(t, text, needCheckpoint, nil)
	return cfg, strings.TrimPrefix(problems, "c.yaml:3: checkpoint.url: ")
}

const noSSLMode = "has no sslmode, and the server is not on this machine; add sslmode=verify-full (or require, or disable where the network is trusted)"

func TestDatabase_AsksForSSLModeOffThisMachine(t *testing.T) {
	withoutPG(t)
	for dsn, want := range map[string]string{
		"postgres://u@localhost/db":                           "",
		"postgres://u@LOCALHOST/db":                           "",
		"postgres://u@127.8.8.8/db":                           "",
		"postgres://u@[::1]/db":                               "",
		"postgres:///db?host=/run/postgresql":                 "",
		"host=/run/postgresql dbname=db":                      "",
		"postgres://u@db.example/db":                          noSSLMode,
		"postgresql://u@10.0.0.1/db":                          noSSLMode,
		"postgres://u@localhost.example/db":                   noSSLMode,
		"postgres://localhost,db.example/db":                  noSSLMode,
		"host=/run/postgresql,db.example dbname=db":           noSSLMode,
		"host=db.example,127.0.0.1 sslmode=disable":           "",
		"host=db.example user=u password='sslmode'":           noSSLMode,
		`host=db.example user=u password='a\' sslmode=x'`:     noSSLMode,
		"postgres://u:sslmode=require@db.example/db":          noSSLMode,
		"postgres://db.example/sslmode=require":               noSSLMode,
		"postgres://db.example/db?sslmode=":                   noSSLMode,
		"postgres://db.example/db?sslmode=require":            "",
		"postgres://db.example/db?ssl%6Dode=prefer":           "",
		"postgres://db.example/db?ssl=true":                   "",
		"postgres://db.example/db?a=b&sslmode=disable":        "",
		"host=db.example user=u sslmode=verify-full":          "",
		"sslmode = 'allow' host = db.example":                 "",
		"postgres://db.example/db?sslrootcert=system&user=me": "",
	} {
		if _, got := loadDSN(t, dsn, ""); got != want {
			t.Errorf("%s: got %q, want %q", dsn, got, want)
		}
	}
	services := filepath.Join(t.TempDir(), "services")
	if err := os.WriteFile(services, []byte("[told]\nhost=db.example\nsslmode=disable\n[untold]\nhost=db.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PGSERVICEFILE", services)
	for dsn, want := range map[string]string{"service=told": "", "service=untold": noSSLMode} {
		if _, got := loadDSN(t, dsn, ""); got != want {
			t.Errorf("%s: got %q, want %q", dsn, got, want)
		}
	}
	for _, mode := range []string{"disable", "prefer", "require"} {
		t.Setenv("PGSSLMODE", mode)
		if _, got := loadDSN(t, "postgres://u@db.example/db", ""); got != "" {
			t.Errorf("with PGSSLMODE=%s: got %q, want no problem", mode, got)
		}
	}
}

func TestDatabase_TakesThePasswordFromOnePlace(t *testing.T) {
	withoutPG(t)
	const both = "c.yaml:4: checkpoint.password: is given beside a password in url; keep one of them"
	for _, c := range []struct{ dsn, password, want string }{
		{"postgres://u@localhost/db", "", ""},
		{"postgres://u:in%20url@localhost/db", "", "in url"},
		{"postgres://localhost/db?password=in%2Burl", "", "in+url"},
		{"host=localhost password='in \\'dsn\\''", "", "in 'dsn'"},
		{"postgres://u@localhost/db", "p@ss/w?rd %20", "p@ss/w?rd %20"},
		{"postgres://u:@localhost/db", "mine", "mine"},
		{"postgres://u:other@localhost/db", "mine", both},
		{"postgres://localhost/db?password=other", "mine", both},
		{"host=localhost password=other", "mine", both},
	} {
		cfg, got := loadDSN(t, c.dsn, c.password)
		if cfg != nil {
			got = cfg.Checkpoint.DB.Password
		}
		if got != c.want {
			t.Errorf("%s with %q: got %q, want %q", c.dsn, c.password, got, c.want)
		}
	}
	t.Setenv("PGPASSWORD", "from-environment")
	for password, want := range map[string]string{"": "from-environment", "mine": "mine"} {
		if cfg, problems := loadDSN(t, "postgres://u@localhost/db", password); cfg == nil || cfg.Checkpoint.DB.Password != want {
			t.Errorf("with PGPASSWORD set and the password %q: got %+v %s, want %s", password, cfg, problems, want)
		}
	}
}

// TestDatabase_NeverTellsThePassword also pins what is said of each mistake.
func TestDatabase_NeverTellsThePassword(t *testing.T) {
	withoutPG(t)
	dir := t.TempDir()
	notPEM := filepath.Join(dir, "not.pem")
	if err := os.WriteFile(notPEM, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	const (
		at       = "has an @ or / where a URL cannot have it; percent-encode the password (@ is %40, / is %2F), or give it under password"
		port     = "has a port that is not a number from 1 to 65535; correct it, and percent-encode a password with special characters or give it under password"
		badURL   = "is not a valid Postgres URL; write postgres://user@host:5432/database?sslmode=verify-full, with special characters percent-encoded"
		keywords = "is neither a Postgres URL nor a keyword string; write postgres://user@host:5432/database?sslmode=verify-full"
		scheme   = "is not a Postgres URL; begin with postgres://"
	)
	for dsn, want := range map[string]string{
		"postgres://u:hunter2@x@h/db":                                             at,
		"postgres://u:hun/hunter2@h/db":                                           at,
		"postgres://u:1/hunter2@h/db":                                             at,
		"postgres://h/db?user=hunter2@x":                                          at,
		"postgres://u:hunter2%zz@h/db":                                            badURL,
		"postgres://u:hunter2@h/db?hunter2":                                       badURL,
		"postgres://u:hunter2@[::1/db":                                            badURL,
		"postgres://u:hunter2":                                                    port,
		"postgres://u@h:hunter2/db":                                               port,
		"postgres://u:hunter2@h/db ?":                                             "is a URL with spaces or line breaks; remove them, or percent-encode them (a space is %20)",
		"postgres://u:hunter2\n@h/db":                                             "is a URL with spaces or line breaks; remove them, or percent-encode them (a space is %20)",
		"jdbc:postgresql://h/hunter2":                                             scheme,
		"hunter2":                                                                 keywords,
		"password=hunter2 sslmode":                                                keywords,
		"password='hunter2":                                                       keywords,
		"host=h password=my hunter2 sslmode=require":                              keywords,
		"host=a,b port=1,2,3 password=hunter2":                                    "has another number of ports than of hosts; give one port, or one for each host",
		"host=h sslmode=hunter2":                                                  "has an unknown sslmode; use disable, allow, prefer, require, verify-ca or verify-full",
		"host=h sslmode=require sslrootcert=/hunter2":                             "has an sslrootcert that cannot be read; correct its path",
		"host=h sslmode=require sslrootcert=" + notPEM:                            "has an sslrootcert without a certificate in PEM form; correct its path or content",
		"host=h sslmode=require sslcert=/hunter2":                                 `has only one of sslcert and sslkey; give both`,
		"host=h sslmode=require sslcert=/hunter2 sslkey=/hunter2":                 "has an sslkey that cannot be read; correct its path",
		"host=h sslmode=require sslcert=/hunter2 sslkey=" + notPEM:                "has an sslkey that is not in PEM form; correct its path or content",
		"host=h sslmode=require connect_timeout=hunter2":                          "has a connect_timeout that is not a whole number of seconds; correct it",
		"host=h sslmode=require target_session_attrs=hunter2":                     "has an unknown target_session_attrs; use any, read-write, read-only, primary, standby or prefer-standby",
		"service=hunter2":                                                         "names a service that the service file does not hold; correct its name or servicefile",
		"host=h sslmode=require channel_binding=hunter2":                          "has a setting that the driver does not accept; check its parameters",
		"host=h sslmode=require min_protocol_version=hunter2 statement_timeout=1": "has a setting that the driver does not accept; check its parameters",
	} {
		_, got := loadDSN(t, dsn, "")
		if got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", dsn, got, want)
		}
		if strings.Contains(got, "hunter2") {
			t.Errorf("%s: the problem tells the password: %s", dsn, got)
		}
	}
}

func TestConfig_Redact(t *testing.T) {
	withoutPG(t)
	dir := t.TempDir()
	pem := filepath.Join(dir, "key")
	if err := os.WriteFile(pem, []byte("-----BEGIN KEY-----\nMIIEvQIBADANBg\n-----END KEY-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := `
migration: ${M}
source:
  url: postgres://u:in%20url%2Fpw@localhost/db
  store: better-auth
  decrypt: {secret: literal-key, secrets: "${PW}"}
  where: "${file:` + pem + `}"
destination:
  token: literal-credential
checkpoint:
  url: host=localhost sslpassword=ssl-pw
  password: literal-pw
send:
  requests_per_minute: ${RPM}
`
	cfg, problems := loadText(t, text, needAll, map[string]string{"M": "acme", "PW": `p"ä+ß`, "RPM": "40"})
	if problems != "" {
		t.Fatal(problems)
	}
	for text, want := range map[string]string{
		"nothing to hide at pace 40":            "nothing to hide at pace 40",
		"dial postgres://u:in%20url%2Fpw@h":     "dial postgres://u:[redacted]@h",
		"password in url/pw, in+url%2Fpw":       "password [redacted], [redacted]",
		"password " + `p"ä+ß` + " refused":      "password [redacted] refused",
		"quoted " + strconv.Quote(`p"ä+ß`):      `quoted "[redacted]"`,
		"ascii " + strconv.QuoteToASCII(`p"ä+`): `ascii ` + strconv.QuoteToASCII(`p"ä+`),
		"query " + url.QueryEscape(`p"ä+ß`):     "query [redacted]",
		"literal-credential and literal-key":    "[redacted] and [redacted]",
		"user=u password=literal-pw":            "user=u password=[redacted]",
		"folded MIIEvQIBADANBg at line 2":       "folded [redacted] at line 2",
		"ssl-pw of acme":                        "[redacted] of [redacted]",
	} {
		if got := cfg.Redact(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if got := (*Config)(nil).Redact("as it is"); got != "as it is" {
		t.Errorf("a nil Config made %q of the text", got)
	}
}

// A secret that is written out in the file is warned of by its line, and is not
// repeated.
func TestConfig_WarnsOfLiteralSecrets(t *testing.T) {
	withoutPG(t)
	env := map[string]string{"PW": "from-variable", "T": "from-variable", "URL": "postgres://u:from-variable@localhost/db"}
	const inFile, inURL = "is a secret that stands in this file", "holds a password that stands in this file"
	for _, c := range []struct{ url, password, token, want string }{
		{"postgres://u@localhost/db", "${PW}", "${T}", ""},
		{"${URL}", "", "${T}", ""},
		{"postgres://u:${PW}@localhost/db", "", "${T}", ""},
		{"host=localhost password=${PW}", "", "${T}", ""},
		{"host=localhost password='${PW}'", "", "${T}", ""},
		{"postgres://u:hunter2@localhost/db", "", "${T}", "4 source.url " + inURL},
		{"postgres://${T}:hunter2@localhost/db", "", "${T}", "4 source.url " + inURL},
		{"host=localhost password='hunter2'", "", "${T}", "4 source.url " + inURL},
		{"postgres://u@localhost/db", "hunter2", "${T}", "5 source.password " + inFile},
		{"postgres://u@localhost/db", "${PW}", "hunter2", "8 destination.token " + inFile},
		{"postgres://u@localhost/db", "${PW}", "vcp_${T}", ""}, // a part of it
	} {
		cfg, problems := loadText(t, fmt.Sprintf(`
migration: acme
source:
  url: %s
  password: %q
  query: SELECT 1
destination:
  token: %s
  connector: scl_1
checkpoint:
  url: ${URL}
`, c.url, c.password, c.token), needAll, env)
		if problems != "" {
			t.Errorf("%+v: %s", c, problems)
			continue
		}
		got := ""
		for _, w := range cfg.Warnings {
			text, _, _ := strings.Cut(w.Text, ";")
			got += fmt.Sprintf("%d %s %s", w.Line, w.Key, text)
			if strings.Contains(w.String(), "hunter2") {
				t.Errorf("%+v: the warning tells the secret: %s", c, w)
			}
		}
		if got != c.want {
			t.Errorf("%+v:\ngot  %q\nwant %q", c, got, c.want)
		}
	}
}

func TestRedactor_TakesTheLongestFirst(t *testing.T) {
	var r redactor
	r.add("abcd", "abc")
	r.add("abcdefgh")
	if got, want := r.clean("abcdefgh abcdef abc"), "[redacted] [redacted]ef abc"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestConfig_CredentialFollowsItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first-credential\n")
	cfg, problems := loadText(t, "migration: m\ndestination:\n  token: ${file:"+path+"}\n", needDestination|needCredential, nil)
	if problems != "" {
		t.Fatal(problems)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { cfg.Credential(); cfg.Redact("x") })
	}
	for _, c := range []struct{ name, content, want string }{
		{"unchanged", "first-credential\n", "first-credential"},
		{"rotated", "second-credential\n", "second-credential"},
		{"empty for a moment", "", "second-credential"},
		{"not a credential", "two words", "second-credential"},
		{"rotated again", "third-credential", "third-credential"},
	} {
		write(c.content)
		if got := cfg.Credential().Reveal(); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := cfg.Credential().Reveal(); got != "third-credential" {
		t.Errorf("without its file: got %s, want third-credential", got)
	}
	wg.Wait()
	if got, want := cfg.Redact("first-credential second-credential third-credential"), "[redacted] [redacted] [redacted]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestConfig_CredentialWithoutAFile(t *testing.T) {
	for text, env := range map[string]map[string]string{"${T}": {"T": "from-variable"}, "a${T}": {"T": "bc"}, "literal": nil} {
		cfg, problems := loadText(t, "migration: m\ndestination:\n  token: "+text+"\n", needDestination|needCredential, env)
		if problems != "" {
			t.Fatal(problems)
		}
		if cfg.Destination.TokenFile != "" || cfg.Credential().Reveal() != cfg.Destination.Token.Reveal() || cfg.Credential().Empty() {
			t.Errorf("%s: got %q from the file %q", text, cfg.Credential().Reveal(), cfg.Destination.TokenFile)
		}
	}
}

func TestConfig_PrintsNoSecret(t *testing.T) {
	withoutPG(t)
	cfg, problems := loadText(t, exampleConfig, needAll, exampleEnv)
	if problems != "" {
		t.Fatal(problems)
	}
	if got, want := cfg.String(), "configuration "+cfg.File+" of migration acme-slack"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := cfg.Destination.Token; !strings.Contains(got.String(), "redacted") || got != cfg.Credential() {
		t.Errorf("got the credential %v, want one that prints as redacted", got)
	}
}
