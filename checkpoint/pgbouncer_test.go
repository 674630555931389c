package checkpoint

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

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"tokenmigrate/checkpoint/localpg"
)

// Every statement may meet another server connection: nothing of a session is
// left from the one before.
func TestStore_ThroughPgBouncer(t *testing.T) {
	t.Parallel()
	s := openStore(t, startBouncer(t, localpg.Database(t)), testSchema)
	must(t, s.Migrate(t.Context()))
	must(t, s.Ready(t.Context()))
	b := begin(t, s, "acme-slack", "first")
	const workers, rounds = 8, 10
	g, ctx := errgroup.WithContext(t.Context())
	for w := range workers {
		g.Go(func() error {
			for r := range rounds {
				a, n := imported(fmt.Sprintf("%d-%d-a", w, r)), refused(fmt.Sprintf("%d-%d-b", w, r))
				in := intent(a, n)
				if _, err := s.Record(ctx, b.lease, b.run, Batch{Intents: []Intent{in}}); err != nil {
					return err
				}
				out, err := s.Record(ctx, b.lease, b.run, Batch{
					Answers: []Answer{answer(in, a, n)}, Counts: []byte(`{}`),
					Locals: []Local{{Key: fmt.Sprintf("%d-%d-l", w, r), Outcome: Skipped, Reason: "expired"}},
				})
				if err != nil {
					return err
				}
				if out.LeaseLost || out.Settled != nil {
					return fmt.Errorf("worker %d: got %+v, want nothing to tell", w, out)
				}
				priors, _, err := s.Lookup(ctx, b.lease.Migration, []string{a.Key, n.Key}, []Hash{a.Identity})
				if err != nil || len(priors) != 2 {
					return fmt.Errorf("worker %d: Lookup: got %v, %w", w, priors, err)
				}
				if err := s.Renew(ctx, b.lease); err != nil {
					return err
				}
			}
			return nil
		})
	}
	must(t, g.Wait())
	totals, err := s.Totals(t.Context(), b.lease.Migration)
	if err != nil || totals[Imported] != workers*rounds || totals[Failed] != workers*rounds || totals[Skipped] != workers*rounds {
		t.Errorf("Totals: got %v, %v, want %d of each", totals, err, workers*rounds)
	}
	left := intent(imported("left"))
	left.Settle = 0
	b.record(Batch{Intents: []Intent{left}})
	next := b.takeOver("second")
	if got, err := next.Unsettled(t.Context(), next.lease, next.run); err != nil || len(got) != 1 {
		t.Errorf("Unsettled: got %v, %v, want one", got, err)
	}
	if got, err := next.Settle(t.Context(), next.lease, next.run, []uuid.UUID{left.ID}); err != nil || len(got) != 1 {
		t.Errorf("Settle: got %v, %v, want one", got, err)
	}
	seen := 0
	must(t, s.Failures(t.Context(), b.lease.Migration, Filter{}, func(Failure) error { seen++; return nil }))
	if seen != 2*workers*rounds+1 {
		t.Errorf("Failures: got %d, want %d", seen, 2*workers*rounds+1)
	}
	must(t, next.FinishRun(t.Context(), next.run, 0, []byte(`{}`), ""))
	must(t, next.Release(t.Context(), next.lease))
}

// startBouncer puts a PgBouncer in transaction mode, with two connections to
// the server, before a database, and returns the URL to use instead. It goes
// with the test, and with the test's process.
func startBouncer(t *testing.T, url string) string {
	t.Helper()
	bin, err := exec.LookPath("pgbouncer")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("this test needs pgbouncer: install the package pgbouncer")
		}
		t.Skip("this test needs pgbouncer: install the package pgbouncer")
	}
	cfg := parse(t, url)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	port := listener.Addr().(*net.TCPAddr).Port
	must(t, listener.Close())
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	ini := fmt.Sprintf(`[databases]
checkpoint = host=%s port=%d dbname=%s user=%s password=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
max_db_connections = 2
server_tls_sslmode = prefer
`, cfg.Host, cfg.Port, quote(cfg.Database), quote(cfg.User), quote(cfg.Password), port)
	if os.Getuid() == 0 {
		ini += "user = nobody\n" // it refuses to run as root
	}
	// Not t.TempDir: another user must be able to look into it.
	dir, err := os.MkdirTemp("", "tokenmigrate-bouncer-")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755)) //nolint:gosec // the password is that of a throwaway server
	file := filepath.Join(dir, "pgbouncer.ini")
	must(t, os.WriteFile(file, []byte(ini), 0o644)) //nolint:gosec // as above

	// The shell ends it when its standard input does, also when we are killed.
	cmd := exec.Command("sh", "-c", `"$0" "$1" & child=$!; cat >/dev/null; kill "$child"; wait "$child"`, bin, file)
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stderr, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
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
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/checkpoint?sslmode=disable", cfg.User, port)
}
