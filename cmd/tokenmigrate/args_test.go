package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// What stands where no word is expected is told, with what may have been meant;
// what may be a connection string is not repeated.
func TestRun_TellsWordsItDoesNotExpect(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"rnu":                                              `tokenmigrate has no command "rnu"; did you mean run?`,
		"dryrun":                                           `tokenmigrate has no command "dryrun"; did you mean dry-run?`,
		"dryrun -c h.yaml":                                 `tokenmigrate has no command "dryrun"; did you mean dry-run?`,
		"run -c x --limt 5":                                `unknown flag: --limt; did you mean --limit?`,
		"status -c x --log-levle debug":                    `unknown flag: --log-levle; did you mean --log-level?`,
		"run -c x --limit 0":                               `--limit 0: it must be at least 1; leave it out for no limit`,
		"run -c x --limit ten":                             `--limit: "ten" is not a whole number`,
		"zzzzzzzz":                                         `tokenmigrate has no command "zzzzzzzz"; known: check`,
		"run -postgres://u:hunter2@h/d":                    `unknown shorthand flag: 'p' in -postgres://u:[redacted]@h/d`,
		"run --postgres://u:hunter2@h/d":                   `unknown flag: --postgres://u:[redacted]@h/d`,
		"run --limit postgres://u:hunter2@h/d":             `--limit: "postgres://u:[redacted]@h/d" is not a whole number`,
		"run -c postgres://u:hunter2/@p@h/d":               `postgres://u:[redacted]@h/d: the configuration file does not exist`,
		"run --report postgres://u:hunter2@h":              `--report postgres://u:[redacted]@h: the ending must be .html, .json or .txt`,
		"run --report postgres://h/d?password=hunter2&x=y": `--report postgres://h/d?password=[redacted]&x=y: the ending`,
		"stores postgres://u:hunter2@h/d":                  `store "postgres://u:[redacted]@h/d" is not known`,
		"stores host=h,password='hunter2'":                 `store "host=h,password=[redacted]" is not known`,
		"stores authjs --set postgres://u:hunter2@h/d":     `--set postgres://u:[redacted]@h/d: write NAME=VALUE`,
		"stores authjs --set postgres://u:hunter2@h/d?a=b": `--set: postgres://u:[redacted]@h/d?a is not a parameter of store authjs`,
		"pace postgres://u:hunter2@h/d -c x":               `pace "postgres://u:[redacted]@h/d": give the calls a minute`,
		"inti --url x":                                     `tokenmigrate has no command "inti"; did you mean init?`,
		"help foo":                                         `tokenmigrate has no command "foo"; known: check`,
		"help rnu":                                         `tokenmigrate has no command "rnu"; did you mean run?`,
		"help checkpoint dll":                              `tokenmigrate checkpoint has no command "dll"; did you mean ddl?`,
		"completion foo":                                   `tokenmigrate completion has no command "foo"; known: bash`,
		"checkpoint dll":                                   `tokenmigrate checkpoint has no command "dll"; did you mean ddl?`,
		"run acme.yaml":                                    `tokenmigrate run takes no arguments; leave out "acme.yaml", or put -c before it if it is the configuration`,
		"run postgres://u:hunter2@h/d":                     `tokenmigrate run takes no arguments; leave out what stands behind it, or put -c before it`,
		"postgres://u:hunter2@h/d":                         `tokenmigrate has no such command; known: `,
		"version 2":                                        `tokenmigrate version takes no arguments; leave out "2"`,
		"checkpoint ddl now":                               `tokenmigrate checkpoint ddl takes no arguments; leave out "now"`,
		"pace -c x":                                        `pace: give one thing, the calls a minute or default`,
		"pace 10 20 -c x":                                  `pace: give one thing, the calls a minute or default`,
		"failures -c x --reason Refused!":                  `--reason "Refused!" is not a reason code; did you mean refused?`,
		"failures -c x --reason 0123456789x":               `--reason "0123456789x" is not a reason code; known: `,
	} {
		var stdout, stderr bytes.Buffer
		none := func(string) (string, bool) { return "", false }
		if code := run(t.Context(), t.Context(), strings.Fields(line), none, &stdout, &stderr); code != 78 {
			t.Errorf("%s: exit code: got %d, want 78", line, code)
		}
		if first, _, _ := strings.Cut(stderr.String(), "\n"); !strings.HasPrefix(first, "tokenmigrate: "+want) || stdout.Len() > 0 {
			t.Errorf("%s:\ngot  %q, and %q on stdout\nwant %q", line, first, stdout.String(), want)
		}
		if strings.Contains(stderr.String(), "hunter2") {
			t.Errorf("%s: the password is repeated: %s", line, stderr.String())
		}
	}
}

// A flag's variable is told by its own name, and one that is nearly a flag's is
// not passed over.
func TestRun_TellsVariables(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"TOKENMIGRATE_LIMIT", "abc", `TOKENMIGRATE_LIMIT: "abc" is not a whole number`},
		{"TOKENMIGRATE_LIMIT", "0", "--limit 0: it must be at least 1"},
		{"TOKENMIGRATE_RETRY_FAILED", "ja", `TOKENMIGRATE_RETRY_FAILED: "ja" is not true or false`},
		{"TOKENMIGRATE_LIMT", "3", "TOKENMIGRATE_LIMT is no flag's variable; did you mean TOKENMIGRATE_LIMIT?"},
		{"TOKENMIGRATE_ACCEPT_CONFIG_CHANGES", "1", "did you mean TOKENMIGRATE_ACCEPT_CONFIG_CHANGE?"},
		{"TOKENMIGRATE_PORT", "tcp://10.0.0.1:80", "no configuration"},
		{"TOKENMIGRATE_SHARDS", "1", "no configuration"},
		{"TOKENMIGRATE_CRASH_RUNS", "1", "no configuration"},
	} {
		t.Setenv(c.name, c.value)
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), t.Context(), []string{"run"}, os.LookupEnv, &stdout, &stderr); code != 78 || !strings.HasPrefix(stderr.String(), "tokenmigrate: ") || !strings.Contains(stderr.String(), c.want) {
			t.Errorf("%s=%s: got exit code %d and %q, want 78 and %q", c.name, c.value, code, stderr.String(), c.want)
		}
		os.Unsetenv(c.name)
	}
}

func TestRun_HelpsWithCommands(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"help": "tokenmigrate moves OAuth tokens", "help run": "Reads every row", "help checkpoint ddl": "ddl", "help completion bash": "bash",
		"completion": "autocompletion", "completion bash": "bash completion", "help help": "Help provides help",
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), t.Context(), strings.Fields(line), func(string) (string, bool) { return "", false }, &stdout, &stderr)
		if code != 0 || !strings.Contains(stdout.String(), want) {
			t.Errorf("%s: got %d, want 0 and %q\n%.500s%s", line, code, want, stdout.String(), stderr.String())
		}
	}
}
