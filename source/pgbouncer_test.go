package source

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// TestReader_WorksThroughPgBouncer: transaction mode, one server connection for
// two readers that take turns, and startup parameters refused as by default.
func TestReader_WorksThroughPgBouncer(t *testing.T) {
	binary, err := exec.LookPath("pgbouncer")
	if err != nil {
		binary, err = exec.LookPath("/usr/sbin/pgbouncer")
	}
	switch {
	case err != nil && os.Getenv("CI") == "true":
		t.Fatal("CI must have PgBouncer: install the package pgbouncer")
	case err != nil:
		t.Skip("there is no pgbouncer on the PATH or in /usr/sbin: install the package pgbouncer to run this test")
	}
	db := newDatabase(t, "CREATE TABLE accounts AS SELECT generate_series(1, 50) AS id")
	config := db.config("")
	bouncer := startPgBouncer(t, binary, config)
	open := func() *Reader {
		r, err := Open(t.Context(), bouncer, Options{Query: accounts, PageSize: 7, Routes: slack})
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		t.Cleanup(r.Close)
		return r
	}
	one, two := open(), open()
	var afterOne, afterTwo Cursor
	for got := 0; ; {
		pageOne, err := one.Page(t.Context(), afterOne)
		if err != nil {
			t.Fatal(err)
		}
		pageTwo, err := two.Page(t.Context(), afterTwo)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := keysOf(pageOne.Rows), keysOf(pageTwo.Rows); !slices.Equal(a, b) {
			t.Errorf("got %q and %q, want the same", a, b)
		}
		got += len(pageOne.Rows)
		afterOne, afterTwo = pageOne.Next, pageTwo.Next
		if pageOne.End {
			if got != 50 {
				t.Errorf("got %d rows, want 50", got)
			}
			break
		}
	}
	if err := one.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	if rows, err := two.Rows(t.Context(), []string{"7", "8"}); err != nil || len(rows) != 2 {
		t.Errorf("read again: got %d rows, %v, want 2", len(rows), err)
	}
	// A session of somebody else's in the same server connection finds its settings
	// as they were.
	conn, err := pgconn.ConnectConfig(t.Context(), &bouncer.Config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	results, err := conn.Exec(t.Context(), "SELECT current_setting('row_security') || current_setting('transaction_read_only') || current_setting('statement_timeout')").ReadAll()
	if err != nil || string(results[0].Rows[0][0]) != "onoff0" {
		t.Errorf("got settings %v (%v), want them untouched", results, err)
	}
}

// startPgBouncer starts a pooler in transaction mode with one server connection
// and returns how to reach it. It ends with the test.
func startPgBouncer(t *testing.T, binary string, target *pgx.ConnConfig) *pgx.ConnConfig {
	t.Helper()
	// PgBouncer gives root away and must read its folder as the other user.
	folder, err := os.MkdirTemp("", "tokenmigrate-pgbouncer-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	ini := fmt.Sprintf(`[databases]
* = host=%s port=%d user=%s password='%s'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 1
`, target.Host, target.Port, target.User, strings.ReplaceAll(target.Password, "'", "''"), port)
	path := filepath.Join(folder, "pgbouncer.ini")
	if err := os.WriteFile(path, []byte(ini), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{path}
	if os.Getuid() == 0 {
		args = []string{"-u", "nobody", path}
	}
	var output strings.Builder
	command := exec.Command(binary, args...)
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	config := target.Copy()
	config.Host, config.Port, config.Fallbacks = "127.0.0.1", port, nil
	deadline := time.Now().Add(20 * time.Second)
	for {
		conn, err := pgconn.ConnectConfig(t.Context(), &config.Config)
		if err == nil {
			conn.Close(t.Context())
			return config
		}
		if time.Now().After(deadline) {
			t.Fatalf("pgbouncer does not answer: %v", err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
}
