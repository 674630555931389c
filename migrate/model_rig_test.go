package migrate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/connect"
	"tokenmigrate/migrate/connect/sandbox"
	"tokenmigrate/migrate/report"
	"tokenmigrate/source"
)

// worker is what one run opens, works with and closes again, as the command
// does: a source, a checkpoint and an endpoint, all of them real.
type worker struct {
	sourceURL     string
	checkpointURL string
	schema        string
	endpoint      string // the URL
	source        source.Options
	o             Options
}

// run migrates until it ends, ctx drains it or cut cuts it short.
func (w *worker) run(ctx, cut context.Context) (*report.Report, error) {
	return w.with(cut, func(m *Migrator) (*report.Report, error) { return m.Run(ctx, cut) })
}

// dryRun foresees what run would do.
func (w *worker) dryRun(ctx context.Context) (*report.Report, error) {
	return w.with(ctx, func(m *Migrator) (*report.Report, error) { return m.DryRun(ctx) })
}

// with opens everything, whatever becomes of ctx, and closes it after do.
func (w *worker) with(ctx context.Context, do func(*Migrator) (*report.Report, error)) (*report.Report, error) {
	ctx = context.WithoutCancel(ctx)
	from, err := pgx.ParseConfig(w.sourceURL)
	if err != nil {
		return nil, err
	}
	src, err := source.Open(ctx, from, w.source)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	to, err := pgx.ParseConfig(w.checkpointURL)
	if err != nil {
		return nil, err
	}
	store, err := checkpoint.Open(ctx, to, w.schema)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	client, err := connect.New(connect.Options{URL: w.endpoint, Credential: testCredential, Timeout: w.o.CallTimeout})
	if err != nil {
		return nil, err
	}
	defer client.Close()
	o := w.o
	o.Holder = uuid.NewString()
	o.Destination = client.Destination()
	o.Target = map[string]string{"destination": client.Destination()}
	return do(New(o, src, store, client))
}

func testCredential() connect.Secret { return connect.NewSecret("a-credential") }

// calmOptions are options that get in nobody's way: a high pace, short waits.
func calmOptions(migration string) Options {
	return Options{
		Migration: migration, RequestsPerMinute: 60_000, ChunkTokens: 10, ChunkBytes: 1 << 20, Concurrency: 4,
		CallTimeout: time.Second, MaxAttempts: 4, OutageWait: 5 * time.Second,
		Credential: testCredential, ExitCode: testExitCode, Log: zerolog.Nop(),
		Policy: Policy{
			InDoubt: InDoubtSend, Passes: 2, StopAfterFailures: 2, // never
			MaxFailed: func(int64) int64 { return 0 },
		},
	}
}

// testExitCode gives this package's errors the codes that the command gives them.
func testExitCode(err error) int {
	for _, c := range []struct {
		err  error
		code int
	}{{ErrStopped, 75}, {ErrConfig, 78}, {ErrRefused, 4}, {ErrUnavailable, 5}, {ErrHeld, 6}, {ErrNotImported, 3}} {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	if err != nil {
		return 1
	}
	return 0
}

// endpoint is a sandbox behind a server that knows whether a request is under
// way: a client that is gone may leave one behind.
type endpoint struct {
	*sandbox.Server
	url  string
	http *http.Server

	mu   sync.Mutex
	idle *sync.Cond
	busy int
	over sync.WaitGroup
}

// newEndpoint starts a sandbox; close ends it.
func newEndpoint(o sandbox.Options) (*endpoint, error) {
	e := &endpoint{Server: sandbox.New(o)}
	e.idle = sync.NewCond(&e.mu)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	e.url = "http://" + l.Addr().String()
	e.http = &http.Server{Handler: http.HandlerFunc(e.serve), ReadHeaderTimeout: time.Minute}
	e.over.Go(func() { _ = e.http.Serve(l) })
	return e, nil
}

func (e *endpoint) serve(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	e.busy++
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.busy--; e.busy == 0 {
			e.idle.Broadcast()
		}
	}()
	e.ServeHTTP(w, r)
}

// wait returns when no request is under way.
func (e *endpoint) wait() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.busy > 0 {
		e.idle.Wait()
	}
}

func (e *endpoint) close() {
	e.Server.Close()
	_ = e.http.Close()
	e.wait()
	e.over.Wait()
}

// startEndpoint is newEndpoint for one test.
func startEndpoint(t *testing.T, o sandbox.Options) *endpoint {
	t.Helper()
	e, err := newEndpoint(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.close)
	return e
}

// query returns the rows of a query, scanned by scan.
func query[T any](ctx context.Context, db *pgx.Conn, scan pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sql, err)
	}
	out, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sql, err)
	}
	return out, nil
}
