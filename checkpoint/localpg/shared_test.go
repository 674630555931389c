package localpg

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// recorder is a TB that keeps what it is told. Fatalf ends the call by a panic,
// as the real one ends the goroutine.
type recorder struct {
	*testing.T
	fatal    string
	cleanups []func()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.fatal = fmt.Sprintf(format, args...)
	panic(r)
}

func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

// call runs f and the cleanups, and returns what was told to Fatalf, or "".
func (r *recorder) call(f func()) (fatal string) {
	defer func() {
		if p := recover(); p != nil && p != any(r) {
			panic(p)
		}
		fatal = r.fatal
	}()
	f()
	for _, cleanup := range r.cleanups {
		cleanup()
	}
	return ""
}

func databaseExists(t *testing.T, s *Server, name string) bool {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.base)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var found bool
	if err := conn.QueryRow(t.Context(), "select exists(select from pg_database where datname = $1)", name).Scan(&found); err != nil {
		t.Fatal(err)
	}
	return found
}

func TestDatabase_IsTheTestsOwn(t *testing.T) {
	server := Shared(t)
	names := map[string]bool{}
	for range 2 {
		r := &recorder{T: t}
		fatal := r.call(func() {
			conn, err := pgx.Connect(t.Context(), Database(r))
			if err != nil {
				t.Fatal(err)
			}
			name := conn.Config().Database
			names[name] = true
			if !strings.HasPrefix(name, "t_testdatabase_isthetestsown_") || !databaseExists(t, server, name) {
				t.Errorf("got database %q, want a new one named after the test", name)
			}
			// The connection stays open: the drop ends it.
			t.Cleanup(func() { conn.Close(context.Background()) })
		})
		if fatal != "" {
			t.Error(fatal)
		}
	}
	if len(names) != 2 {
		t.Errorf("databases: got %v, want two", names)
	}
	for name := range names {
		if databaseExists(t, server, name) {
			t.Errorf("database %s was not dropped", name)
		}
	}
}

func TestDatabase_UsesTheServerOfTheVariable(t *testing.T) {
	real := Shared(t)
	config, err := pgx.ParseConfig(real.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	for name, override := range map[string]string{
		"url":     real.URL("postgres"),
		"keyword": fmt.Sprintf("host=%s port=%d user=%s password='%s' dbname=postgres sslmode=disable", config.Host, config.Port, config.User, config.Password),
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(overrideEnv, override)
			var o once
			server := o.get(t)
			conn, err := pgx.Connect(t.Context(), o.database(t))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(context.Background())
			if got := conn.Config(); got.Port != config.Port || !strings.HasPrefix(got.Database, "t_") {
				t.Errorf("got port %d, database %s; want port %d and a database of the test's own", got.Port, got.Database, config.Port)
			}
			for what, err := range map[string]error{
				"Kill": server.Kill(t.Context()), "Resume": server.Resume(t.Context()), "Restart": server.Restart(t.Context()),
			} {
				if !errors.Is(err, ErrForeign) {
					t.Errorf("%s: got %v, want ErrForeign", what, err)
				}
			}
			if err := o.stop(); err != nil {
				t.Errorf("Stop: %v", err)
			}
			if err := conn.Ping(t.Context()); err != nil {
				t.Errorf("after Stop: %v, want the server to live on", err)
			}
		})
	}
}

func TestDatabase_TellsWhyThereIsNone(t *testing.T) {
	for name, c := range map[string]struct{ env, value, want string }{
		"no binaries":  {"POSTGRES_BIN", "/nowhere", "use the postgres of $POSTGRES_BIN"},
		"no server":    {overrideEnv, "postgres://u:hidden@127.0.0.1:1/x", "create database t_"},
		"no sound URL": {overrideEnv, "postgres://u:hidden@127.0.0.1:port/x", "create database t_"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(overrideEnv, "")
			t.Setenv(c.env, c.value)
			var o once
			for range 2 {
				r := &recorder{T: t}
				got := r.call(func() { o.database(r) })
				if !strings.HasPrefix(got, "this test needs a ") || !strings.Contains(got, c.want) || strings.Contains(got, "hidden") {
					t.Errorf("got %q, want it to tell %q and no password", got, c.want)
				}
			}
		})
	}
}

func TestDatabaseName_Fits(t *testing.T) {
	for test, prefix := range map[string]string{
		"TestX":                          "t_testx_",
		"TestX/a b#01":                   "t_testx_a_b_01_",
		"Test" + strings.Repeat("ä", 99): "t_test" + strings.Repeat("_", 44),
	} {
		got := databaseName(test)
		if !strings.HasPrefix(got, prefix) || len(got) > 63 || got == databaseName(test) {
			t.Errorf("%s: got %q (%d bytes), want %q and something random, at most 63 bytes", test, got, len(got), prefix)
		}
	}
}

func TestWithDatabase_ReplacesOnlyThat(t *testing.T) {
	for base, want := range map[string]string{
		"postgres://u:p%40@h:1/a?sslmode=disable": "postgres://u:p%40@h:1/b%20c?sslmode=disable",
		"postgresql://h": "postgresql://h/b%20c",
		"postgres://h/a?dbname=z&options=-c%20work_mem%3D1MB": "postgres://h/b%20c?options=-c%20work_mem%3D1MB",
		"host=h dbname=a": "host=h dbname=a dbname='b c'",
	} {
		got := withDatabase(base, "b c")
		if got != want {
			t.Errorf("%s: got %s, want %s", base, got, want)
		}
		if config, err := pgx.ParseConfig(got); err != nil || config.Database != "b c" {
			t.Errorf("%s: read as %+v, %v; want database \"b c\"", got, config, err)
		}
	}
}

func TestMain_ChecksOnlyWhatPassed(t *testing.T) {
	for _, c := range []struct {
		run   int
		check error
		want  int
		made  bool
	}{{0, nil, 0, true}, {0, errors.New("leak (said on purpose)"), 1, true}, {3, errors.New("leak"), 3, false}} {
		made := false
		got := finish(c.run, nil, func() error { made = true; return c.check })
		if got != c.want || made != c.made {
			t.Errorf("run ended with %d, check says %v: got %d, made=%t; want %d, made=%t", c.run, c.check, got, made, c.want, c.made)
		}
	}
	if got := finish(0, errors.New("stop failed (said on purpose)")); got != 1 {
		t.Errorf("stop failed: got %d, want 1", got)
	}
}
