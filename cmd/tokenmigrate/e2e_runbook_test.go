package main

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"tokenmigrate/migrate/connect/sandbox"
)

// runbook is where operators look things up, often in a hurry.
const runbook = "../../deploy/RUNBOOK.md"

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Every command and every SQL statement of the runbook does what it is there for:
// they are run as they stand on a migration that was begun, in their order, but
// that cleaning up comes last.
func TestRunbook_CommandsWork(t *testing.T) {
	t.Parallel()
	text := readText(t, runbook)
	r := newRig(t, sandbox.Options{}).fill(300)
	role := "migrator_" + strings.ToLower(rand.Text()) // of the whole server, which may be others', too
	r.exec(`CREATE ROLE ` + role)
	t.Cleanup(func() {
		if _, err := r.db.Exec(context.WithoutCancel(t.Context()), `DROP OWNED BY `+role+`; DROP ROLE `+role); err != nil {
			t.Errorf("the role stays: %v", err)
		}
	})
	r.must(0, "run", "--limit", "10")

	steps := regexp.MustCompile("(?m)^    (tokenmigrate .+)$|`(tokenmigrate [^`]+ -c FILE[^`]*)`|(?s:```sql\n(.+?)```)").FindAllStringSubmatch(text, -1)
	if len(steps) < 20 {
		t.Fatalf("found %d commands in the runbook, want some more", len(steps))
	}
	var cleaning []string
	for _, step := range steps {
		switch sql := step[3]; {
		case sql == "":
			r.typed(step[1] + step[2])
		case strings.Contains(sql, "DROP"):
			cleaning = append(cleaning, sql)
		default:
			r.exec(sql)
		}
	}
	if len(cleaning) != 1 {
		t.Fatalf("found %d ways to clean up, want one", len(cleaning))
	}
	r.exec(strings.ReplaceAll(cleaning[0], "migrator", role))
	var left bool
	if err := r.db.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'tokenmigrate')`).Scan(&left); err != nil || left {
		t.Errorf("what the runbook cleans up is still there (%v)", err)
	}
	if imported := len(r.endpoint.Imported()); imported != 300 {
		t.Errorf("%d tokens were imported, want all 300", imported)
	}
}

// typed runs a command as the runbook writes it, FILE being the rig's
// configuration and KEY a row of it. It must end with 0.
func (r *rig) typed(line string) {
	r.Helper()
	args := strings.Fields(strings.Replace(line, " -c FILE", "", 1))[1:]
	for i, arg := range args {
		switch {
		case arg == "KEY":
			args[i] = "7"
		case strings.HasSuffix(arg, ".html"):
			args[i] = filepath.Join(r.folder, arg)
		}
	}
	switch {
	case !strings.Contains(line, " -c FILE"):
		r.bare(0, nil, args...)
	case slices.Contains(args, "--watch"):
		p := r.start(nil, args...)
		p.untilSays("acme")
		p.signal(syscall.SIGINT)
		if code := p.wait(); code != 0 {
			r.Fatalf("%s: exit code: got %d, want 0\n%s", line, code, p.said())
		}
	default:
		r.must(0, args...)
	}
}

// Each exit code has its heading, and no link leads nowhere.
func TestRunbook_IsWhole(t *testing.T) {
	t.Parallel()
	text := readText(t, runbook)
	for _, code := range strings.Fields("0 1 2 3 4 5 6 75 78 137 143") {
		_, section, ok := strings.Cut(text, "\n### Exit "+code+"\n")
		section, _, _ = strings.Cut(section, "\n##")
		if !ok || !strings.Contains(section, "\n**Job:**") || !strings.Contains(section, "\n**Do:**") {
			t.Errorf("exit code %s: wants a section that says what it means, what the Job does, and what to do", code)
		}
	}
	pages := map[string]string{"": text, "README.md": readText(t, "../../deploy/README.md"), "../README.md": readText(t, "../../README.md")}
	for _, link := range regexp.MustCompile(`\]\(([^)#:]*)(?:#([\w-]+))?\)`).FindAllStringSubmatch(text, -1) {
		page, ok := pages[link[1]]
		if _, err := os.Stat(filepath.Join("../../deploy", link[1])); !ok && err != nil {
			t.Errorf("the link to %s: %v", link[1], err)
		}
		if link[2] != "" && !slices.Contains(anchors(page), link[2]) {
			t.Errorf("%s has no heading #%s", link[1], link[2])
		}
	}
}

// anchors returns what the headings of a page are linked as.
func anchors(page string) []string {
	var all []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(page, -1) {
		plain := regexp.MustCompile(`[^\w\s-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(plain, " ", "-"))
	}
	return all
}
