package main

import (
	"bytes"
	"strings"
	"testing"
)

// What stands where no word is expected is told, with what may have been meant;
// what may be a connection string is not repeated.
func TestRun_TellsWordsItDoesNotExpect(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"rnu":                                `tokenmigrate has no command "rnu"; did you mean run?`,
		"dryrun":                             `tokenmigrate has no command "dryrun"; did you mean dry-run?`,
		"zzzzzzzz":                           `tokenmigrate has no command "zzzzzzzz"; known: check`,
		"checkpoint dll":                     `tokenmigrate checkpoint has no command "dll"; did you mean ddl?`,
		"run acme.yaml":                      `tokenmigrate run takes no arguments; leave out "acme.yaml", or put -c before it if it is the configuration`,
		"run postgres://u:hunter2@h/d":       `tokenmigrate run takes no arguments; leave out what stands behind it, or put -c before it`,
		"postgres://u:hunter2@h/d":           `tokenmigrate has no such command; known: `,
		"version 2":                          `tokenmigrate version takes no arguments; leave out "2"`,
		"checkpoint ddl now":                 `tokenmigrate checkpoint ddl takes no arguments; leave out "now"`,
		"pace -c x":                          `pace: give one thing, the calls a minute or default`,
		"pace 10 20 -c x":                    `pace: give one thing, the calls a minute or default`,
		"failures -c x --reason Refused!":    `--reason "Refused!" is not a reason code; did you mean refused?`,
		"failures -c x --reason 0123456789x": `--reason "0123456789x" is not a reason code; known: `,
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
