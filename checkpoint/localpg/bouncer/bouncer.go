// Package bouncer runs a throwaway PgBouncer for tests.
package bouncer

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Start puts a PgBouncer of that pool_mode ("transaction", "session",
// "statement"), with size connections to the server, before a database, and
// returns the URL to use instead. It goes with the test, and with the test's
// process. Where PgBouncer is not installed the test is skipped, and fails in CI.
func Start(t testing.TB, url, mode string, size int) string {
	t.Helper()
	bin := find(t)
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	ini := fmt.Sprintf(`[databases]
bounced = host=%s port=%d dbname=%s user=%s password=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = %s
default_pool_size = %[8]d
max_db_connections = %[8]d
server_tls_sslmode = prefer
`, cfg.Host, cfg.Port, quote(cfg.Database), quote(cfg.User), quote(cfg.Password), port, mode, size)
	if os.Getuid() == 0 {
		ini += "user = nobody\n" // it refuses to run as root
	}
	run(t, bin, configFile(t, ini))
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/bounced?sslmode=disable", cfg.User, port)
}

func find(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if bin, err := exec.LookPath(name); err == nil {
			return bin
		}
	}
	const want = "this test needs PgBouncer: install the package pgbouncer"
	if os.Getenv("CI") == "true" {
		t.Fatal(want)
	}
	t.Skip(want)
	return ""
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// configFile writes a file that another user may read, in a folder likewise.
func configFile(t testing.TB, text string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tokenmigrate-bouncer-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "pgbouncer.ini")
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil { // the password is that of a throwaway server
		t.Fatal(err)
	}
	return path
}

// run starts it and waits until it serves.
func run(t testing.TB, bin, file string) {
	t.Helper()
	// The shell ends it when its standard input does, also when we are killed.
	cmd := exec.Command("sh", "-c", `"$0" "$1" & child=$!; cat >/dev/null; kill "$child"; wait "$child"`, bin, file)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	up, over := make(chan struct{}), make(chan struct{})
	var log []string
	go func() {
		defer close(over)
		for scan := bufio.NewScanner(stderr); scan.Scan(); {
			if log = append(log, scan.Text()); strings.Contains(scan.Text(), "process up") {
				close(up)
			}
		}
	}()
	t.Cleanup(func() {
		_ = stdin.Close()
		<-over
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("pgbouncer:\n%s", strings.Join(log, "\n"))
		}
	})
	select {
	case <-up:
	case <-over:
		t.Fatal("pgbouncer ended at once")
	case <-time.After(20 * time.Second):
		t.Fatal("pgbouncer does not come up")
	}
}
