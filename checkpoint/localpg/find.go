//go:build unix

package localpg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// binEnv names the folder that holds initdb and postgres.
const binEnv = "POSTGRES_BIN"

// howToInstall ends the error of a search without a result.
const howToInstall = "install one (Debian and Ubuntu: apt install postgresql; Fedora and RHEL: dnf install postgresql-server; macOS: brew install postgresql), " +
	"or set $" + binEnv + " to the folder that holds initdb and postgres"

// usualPlaces are where distributions and installers put the binaries. Among the
// matches of one pattern the newest version comes first.
var usualPlaces = []string{
	"/usr/lib/postgresql/*/bin",                               // Debian, Ubuntu
	"/usr/pgsql-*/bin",                                        // Red Hat, from postgresql.org
	"/usr/lib/postgresql[1-9]*/bin",                           // SUSE
	"/usr/libexec/postgresql[1-9]*",                           // Alpine
	"/opt/homebrew/opt/postgresql*/bin",                       // Homebrew on Apple silicon
	"/usr/local/opt/postgresql*/bin",                          // Homebrew on Intel
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",          // Homebrew on Linux
	"/opt/local/lib/postgresql*/bin",                          // MacPorts
	"/Applications/Postgres.app/Contents/Versions/[1-9]*/bin", // Postgres.app
	"/Library/PostgreSQL/*/bin",                               // EnterpriseDB on macOS
	"/opt/PostgreSQL/*/bin",                                   // EnterpriseDB on Linux
	"/usr/local/pgsql/bin",                                    // built from source
	"/usr/bin",                                                // Fedora, RHEL, Arch
	"/usr/local/bin",                                          // FreeBSD
}

// finder is one search for the binaries; its fields are what it asks the system.
type finder struct {
	account *account
	logf    func(string, ...any)
	getenv  func(string) string
	look    func(program string) (string, error)
	places  []string
	fetch   func(ctx context.Context) (string, error) // the last resort
}

// newFinder returns a search of this machine, for binaries that the account can run.
func newFinder(as *account, logf func(string, ...any)) *finder {
	f := &finder{account: as, logf: logf, getenv: os.Getenv, look: exec.LookPath, places: usualPlaces}
	f.fetch = func(ctx context.Context) (string, error) {
		return newFetcher(as, logf).fetch(ctx)
	}
	return f
}

// find returns the folder that holds initdb and postgres: the named one, that of
// $POSTGRES_BIN, the first one found that works, or that of a download.
func (f *finder) find(ctx context.Context, named string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	if named != "" {
		return f.only(ctx, "Options.Bin", named)
	}
	if dir := f.getenv(binEnv); dir != "" {
		return f.only(ctx, "$"+binEnv, dir)
	}
	var broken []error
	for _, dir := range f.candidates(ctx) {
		err := f.works(ctx, dir)
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			f.logf("passing over %s: %v", dir, err)
			broken = append(broken, err)
		}
	}
	f.logf("no postgres is installed, downloading one")
	dir, err := f.fetch(ctx)
	switch {
	case err == nil:
		return dir, nil
	case len(broken) > 0:
		return "", fmt.Errorf("the postgres found does not work (%w), and none could be downloaded (%w): %s", broken[0], err, howToInstall)
	}
	return "", fmt.Errorf("no postgres in PATH, by pg_config or in the usual places, and none could be downloaded (%w): %s", err, howToInstall)
}

// only checks a folder that somebody chose: nothing else will do. The folder
// above the binaries is understood too.
func (f *finder) only(ctx context.Context, by, dir string) (string, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err == nil {
		if err = f.works(ctx, real); errors.Is(err, os.ErrNotExist) && f.works(ctx, filepath.Join(real, "bin")) == nil {
			real, err = filepath.Join(real, "bin"), nil
		}
	}
	if err != nil {
		return "", fmt.Errorf("use the postgres of %s: %w; it must be the folder that holds initdb and postgres", by, err)
	}
	return real, nil
}

// candidates returns the folders to try, best first, without repetition.
func (f *finder) candidates(ctx context.Context) []string {
	var dirs []string
	add := func(dir string) {
		if real, err := filepath.EvalSymlinks(dir); err == nil && !slices.Contains(dirs, real) {
			dirs = append(dirs, real)
		}
	}
	for _, program := range []string{"postgres", "initdb"} {
		// A link in the PATH leads to where the two are together.
		if path, err := f.look(program); err == nil {
			if real, err := filepath.EvalSymlinks(path); err == nil {
				add(filepath.Dir(real))
			}
		}
	}
	if path, err := f.look("pg_config"); err == nil {
		if out, err := exec.CommandContext(ctx, path, "--bindir").Output(); err == nil {
			add(strings.TrimSpace(string(out)))
		}
	}
	for _, pattern := range f.places {
		matches, _ := filepath.Glob(pattern) // the patterns are constant and sound
		slices.SortStableFunc(matches, func(a, b string) int { return slices.Compare(version(b), version(a)) })
		for _, dir := range matches {
			add(dir)
		}
	}
	return dirs
}

var digits = regexp.MustCompile(`\d+`)

// version returns the numbers in a path, in order: the version, for the places
// searched. No number sorts lowest.
func version(path string) []int {
	var numbers []int
	for _, text := range digits.FindAllString(path, -1) {
		n, _ := strconv.Atoi(text)
		numbers = append(numbers, n)
	}
	return numbers
}

// works says why the binaries of a folder will not do, or nil if both are there
// and postgres can be run by the account. os.ErrNotExist: one is not there.
func (f *finder) works(ctx context.Context, dir string) error {
	for _, program := range []string{"initdb", "postgres"} {
		if _, err := os.Stat(filepath.Join(dir, program)); err != nil {
			return err
		}
	}
	cmd := command(ctx, f.account, "/", filepath.Join(dir, "postgres"), "--version")
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return fmt.Errorf("run %s --version: %w: %s", cmd.Path, err, lastWords(out))
	}
	if err != nil {
		return startError(cmd, f.account, err)
	}
	f.logf("found %s in %s", cmp.Or(strings.TrimSpace(string(out)), "postgres"), dir)
	return nil
}
