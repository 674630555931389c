package main

import (
	"bytes"
	"regexp"
	"testing"
)

// Version, commit, Go and platform are told however the program was built.
func TestVersion_TellsWhatIsRun(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	none := func(string) (string, bool) { return "", false }
	code := run(t.Context(), t.Context(), []string{"version"}, none, &stdout, &stderr)
	want := regexp.MustCompile(`^tokenmigrate \S+\ncommit (unknown|[0-9a-f]{40}(\+dirty)?)\ngo1\.\S+ [a-z0-9]+/[a-z0-9]+\n$`)
	if code != 0 || stderr.Len() > 0 || !want.MatchString(stdout.String()) {
		t.Errorf("version: code %d, stdout %q, stderr %q; want 0 and %s", code, stdout.String(), stderr.String(), want)
	}
}
