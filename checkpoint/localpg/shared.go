package localpg

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// overrideEnv names a server to test on instead of a throwaway one.
const overrideEnv = "TOKENMIGRATE_TEST_DATABASE_URL"

// databaseLimit bounds the creation and the removal of one test's database.
const databaseLimit = 60 * time.Second

// TB is the part of testing.TB that is used here, so that the testing package
// and its flags stay out of the program.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
	Logf(format string, args ...any)
	Context() context.Context
	Name() string
}

// once is a server that is started at its first use. If that failed, everybody is
// told the same; it is not tried again.
type once struct {
	mu     sync.Mutex
	tried  bool
	server *Server
	err    error
}

// shared is the server of this test process.
var shared once

// Shared returns the server that all tests of this process share, started at the
// first use. Where TOKENMIGRATE_TEST_DATABASE_URL is set, the Server stands for
// that one: URL, CreateDatabase and DropDatabase work as ever, Stop does
// nothing, and Kill, Resume and Restart return ErrForeign. It is never nil; where
// it cannot be had, the test fails.
//
// A test that kills its server starts one of its own, lest it kills under others.
func Shared(tb TB) *Server {
	tb.Helper()
	return shared.get(tb)
}

// get returns the server, or fails the test.
func (o *once) get(tb TB) *Server {
	tb.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.tried {
		o.tried = true
		if override := os.Getenv(overrideEnv); override != "" {
			o.server = &Server{base: override, foreign: true}
		} else {
			// Not bound to the context of the first test: the server outlives it.
			o.server, o.err = Start(context.Background(), Options{})
		}
	}
	if o.err != nil {
		tb.Fatalf("this test needs a Postgres: %v (or set %s to a server where databases may be created)", o.err, overrideEnv)
	}
	return o.server
}

// stop stops the server, if one was started.
func (o *once) stop() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.server.Stop()
}

// Database returns the URL of an empty database that is the test's own: created
// on the Shared server and dropped in the test's cleanup, with the sessions that
// are still in it. The role is one that may create databases, on a throwaway
// server a superuser. Safe in parallel tests.
func Database(tb TB) string {
	tb.Helper()
	return shared.database(tb)
}

// database is Database on this server.
func (o *once) database(tb TB) string {
	tb.Helper()
	server := o.get(tb)
	name := databaseName(tb.Name())
	ctx, cancel := context.WithTimeout(tb.Context(), databaseLimit)
	defer cancel()
	if err := server.CreateDatabase(ctx, name); err != nil {
		tb.Fatalf("this test needs a database: %v", err)
	}
	tb.Cleanup(func() {
		tb.Helper()
		// The test's own context has ended by now.
		ctx, cancel := context.WithTimeout(context.Background(), databaseLimit)
		defer cancel()
		switch err := server.DropDatabase(ctx, name); {
		case err != nil && server.foreign:
			tb.Fatalf("a database was left behind: %v", err)
		case err != nil: // it goes with the server
			tb.Logf("%v", err)
		}
	})
	return server.URL(name)
}

// databaseName returns a fresh name that tells whose the database is, at most
// the 63 bytes that Postgres keeps.
func databaseName(test string) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(test))
	return fmt.Sprintf("t_%.48s_%s", plain, strings.ToLower(rand.Text()[:8]))
}

// Main runs the tests of a package, stops the shared server if one was started,
// and then, if the tests passed, makes the further checks, such as one for
// leaked goroutines, which would otherwise take the server for a leak. It
// returns the exit code, and tells what failed after the tests on stderr:
//
//	func TestMain(m *testing.M) {
//		os.Exit(localpg.Main(m.Run, func() error { return goleak.Find() }))
//	}
func Main(run func() int, after ...func() error) int {
	code := run()
	return finish(code, shared.stop(), after...)
}

// finish is what Main does once the server is stopped.
func finish(code int, stopped error, after ...func() error) int {
	if stopped != nil {
		fmt.Fprintln(os.Stderr, stopped)
		code = max(code, 1)
	}
	if code != 0 {
		return code
	}
	for _, check := range after {
		if err := check(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}
