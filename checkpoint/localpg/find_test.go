//go:build unix

package localpg

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fakeBin makes a folder whose initdb and postgres are scripts; postgres ends
// with the given exit code. Any user may run them.
func fakeBin(t *testing.T, path, exit string) string {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"initdb", "postgres"} {
		script := "#!/bin/sh\necho \"postgres (PostgreSQL) of $0\"\nexit " + exit + "\n"
		if err := os.WriteFile(filepath.Join(path, program), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// bareFinder searches nothing but what the test adds, and cannot download.
func bareFinder(t *testing.T) *finder {
	as, err := chooseAccount()
	if err != nil {
		t.Fatal(err)
	}
	return &finder{
		account: as,
		logf:    t.Logf,
		getenv:  func(string) string { return "" },
		look:    func(string) (string, error) { return "", os.ErrNotExist },
		fetch:   func(context.Context) (string, error) { return "", errors.New("no network") },
	}
}

func TestFinder_PrefersWhatIsNearest(t *testing.T) {
	root := ownTemp(t)
	named := fakeBin(t, root+"/named", "0")
	environment := fakeBin(t, root+"/environment", "0")
	path := fakeBin(t, root+"/path", "0")
	config := fakeBin(t, root+"/config", "0")
	old, newer := fakeBin(t, root+"/pg/9.6/bin", "0"), fakeBin(t, root+"/pg/18/bin", "0")
	broken := fakeBin(t, root+"/broken", "1")
	if err := os.MkdirAll(root+"/links", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path+"/postgres", root+"/links/postgres"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root+"/links/pg_config", []byte("#!/bin/sh\necho "+config+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	link := func(programs ...string) func(*finder) {
		return func(f *finder) {
			f.look = func(program string) (string, error) {
				if slices.Contains(programs, program) {
					return root + "/links/" + program, nil
				}
				return "", os.ErrNotExist
			}
		}
	}
	places := func(patterns ...string) func(*finder) { return func(f *finder) { f.places = patterns } }
	env := func(value string) func(*finder) {
		return func(f *finder) { f.getenv = func(string) string { return value } }
	}

	for name, c := range map[string]struct {
		named string
		set   []func(*finder)
		want  string
	}{
		"the option above all":       {named, []func(*finder){env(environment), link("postgres")}, named},
		"the variable above PATH":    {"", []func(*finder){env(environment), link("postgres")}, environment},
		"a folder above bin":         {"", []func(*finder){env(root + "/pg/18")}, newer},
		"PATH, its links followed":   {"", []func(*finder){link("postgres", "pg_config"), places(root + "/pg/*/bin")}, path},
		"pg_config above the places": {"", []func(*finder){link("pg_config"), places(root + "/pg/*/bin")}, config},
		"the newest version":         {"", []func(*finder){places(root + "/pg/*/bin")}, newer},
		"the first place":            {"", []func(*finder){places(root+"/nowhere", root+"/pg/9*/bin", root+"/config")}, old},
		"a broken one passed over":   {"", []func(*finder){places(broken, old)}, old},
	} {
		t.Run(name, func(t *testing.T) {
			f := bareFinder(t)
			for _, set := range c.set {
				set(f)
			}
			if got, err := f.find(t.Context(), c.named); err != nil || got != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestFinder_TellsWhatToInstall(t *testing.T) {
	root := ownTemp(t)
	broken := fakeBin(t, root+"/broken", "3")
	for name, c := range map[string]struct {
		places []string
		env    string
		want   []string
	}{
		"nothing anywhere":               {nil, "", []string{"no postgres in PATH", "no network", "apt install postgresql", "dnf install postgresql-server", "brew install postgresql", "$POSTGRES_BIN"}},
		"one that is broken":             {[]string{broken}, "", []string{broken + "/postgres --version: exit status 3", "no network", "apt install postgresql", "$POSTGRES_BIN"}},
		"variable leads nowhere":         {nil, root + "/nowhere", []string{"$POSTGRES_BIN", root + "/nowhere", "initdb and postgres"}},
		"variable leads to a broken one": {nil, broken, []string{"$POSTGRES_BIN", "exit status 3"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := bareFinder(t)
			f.places = c.places
			f.getenv = func(string) string { return c.env }
			dir, err := f.find(t.Context(), "")
			if err == nil {
				t.Fatalf("got %s, want an error", dir)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
		})
	}
}

func TestFinder_TellsThatRootsFolderIsClosed(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("root only")
	}
	dir := ownTemp(t)
	bin := fakeBin(t, dir+"/closed/bin", "0")
	if err := os.Chmod(dir+"/closed", 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := bareFinder(t).find(t.Context(), bin)
	if err == nil || !strings.Contains(err.Error(), "chmod o+x") || !errors.Is(err, os.ErrPermission) {
		t.Errorf("got %v, want a permission error that tells the remedy", err)
	}
}

func TestVersion_SortsByNumber(t *testing.T) {
	got := []string{"/pg/9.6/bin", "/pg/bin", "/pg/18/bin", "/pg@16/bin", "/pg/10/bin"}
	slices.SortFunc(got, func(a, b string) int { return slices.Compare(version(b), version(a)) })
	want := []string{"/pg/18/bin", "/pg@16/bin", "/pg/10/bin", "/pg/9.6/bin", "/pg/bin"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAccount_MayEnter(t *testing.T) {
	dir, err := filepath.EvalSymlinks(ownTemp(t))
	if err != nil {
		t.Fatal(err)
	}
	me := account{uid: uint32(os.Getuid()), gid: uint32(os.Getgid())}
	stranger := account{uid: 4_000_000, gid: 4_000_000}
	for _, c := range []struct {
		mode os.FileMode
		who  *account
		want bool
	}{
		{0o755, &stranger, true},
		{0o750, &stranger, false},
		{0o700, &me, true},
		{0o070, &me, false},
		{0o010, &account{uid: stranger.uid, gid: me.gid}, true},
		{0o001, &account{uid: stranger.uid, gid: me.gid}, false},
		{0o000, nil, true},
	} {
		if err := os.Chmod(dir, c.mode); err != nil {
			t.Fatal(err)
		}
		if got := c.who.mayEnter(dir); got != c.want {
			t.Errorf("mode %o for %+v: got %t, want %t", c.mode, c.who, got, c.want)
		}
	}
}
