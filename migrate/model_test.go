package migrate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"tokenmigrate/checkpoint/localpg"
	"tokenmigrate/migrate/connect/sandbox"
	"tokenmigrate/migrate/report"
)

const (
	modelMaxBytes = 6000 // of any chunk; oversized tokens are larger
	modelAtOnce   = 6
	modelTimeout  = 4 * time.Minute // of one model
)

// TestModel tries random sources, policies, faults of the endpoint and
// interruptions against the invariants of modelCheck. Everything but the
// scheduling follows from the seed, which a failure prints.
//
//	TOKENMIGRATE_MODEL_RUNS=500 TOKENMIGRATE_MODEL_SEED=1 go test -run TestModel -timeout 2h ./migrate
func TestModel(t *testing.T) {
	t.Parallel()
	playModels(t, localpg.Shared(t), 16, modelAtOnce, runModel)
}

// playModels plays the histories of so many seeds, or as many as the variables say, some
// at once, each in a database of its own.
func playModels(t *testing.T, server *localpg.Server, runs, atOnce int, play func(ctx context.Context, seed uint64, url string) (*model, error)) {
	runs, first := modelNumber(t, "TOKENMIGRATE_MODEL_RUNS", runs), modelNumber(t, "TOKENMIGRATE_MODEL_SEED", 1)
	var g errgroup.Group
	g.SetLimit(atOnce)
	for seed := first; seed < first+runs; seed++ {
		if t.Failed() { // one trace is enough to read
			break
		}
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(t.Context(), modelTimeout)
			defer cancel()
			name := fmt.Sprintf("model_%d_%d", os.Getpid(), seed)
			if err := server.CreateDatabase(ctx, name); err != nil {
				t.Errorf("seed %d: %v", seed, err)
				return nil
			}
			defer func() {
				if err := server.DropDatabase(context.WithoutCancel(ctx), name); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
			}()
			if m, err := play(ctx, uint64(seed), server.URL(name)); err != nil {
				t.Errorf("seed %d: %v\n%s", seed, err, m.trace(err))
			}
			return nil
		})
	}
	_ = g.Wait()
}

func modelNumber(t *testing.T, variable string, otherwise int) int {
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// model is one random history: a source that changes, an endpoint that
// misbehaves, and runs that are interrupted.
type model struct {
	seed   uint64
	rnd    *rand.Rand
	url    string
	db     *pgx.Conn // of the checks
	src    *modelSource
	end    *endpoint
	worker worker
	late   lateCalls
	check  modelCheck
	log    []string

	pageSize int // of the last run
}

func (m *model) notef(format string, args ...any) {
	m.log = append(m.log, fmt.Sprintf(format, args...))
}

// openModel returns a model without source and endpoint, and a connection for the
// source, both of which end closes.
func openModel(ctx context.Context, seed uint64, url string) (m *model, writer *pgx.Conn, end func(), err error) {
	m = &model{seed: seed, rnd: rand.New(rand.NewPCG(seed, 1)), url: url}
	if m.db, err = pgx.Connect(ctx, url); err != nil {
		return m, nil, nil, err
	}
	if writer, err = pgx.Connect(ctx, url); err != nil {
		return m, nil, nil, errors.Join(err, m.db.Close(context.WithoutCancel(ctx)))
	}
	return m, writer, func() {
		_ = writer.Close(context.WithoutCancel(ctx))
		_ = m.db.Close(context.WithoutCancel(ctx))
	}, nil
}

// runModel plays the history of a seed. The error is the first invariant that
// does not hold.
func runModel(ctx context.Context, seed uint64, url string) (m *model, err error) {
	m, writer, end, err := openModel(ctx, seed, url)
	if err != nil {
		return m, err
	}
	defer end()
	most := 20 + m.rnd.IntN(30)*m.rnd.IntN(11)
	if m.src, err = newModelSource(ctx, writer, rand.New(rand.NewPCG(seed, 2)), most); err != nil {
		return m, err
	}
	o := sandbox.Options{
		Seed: int64(seed), Latency: time.Duration(m.rnd.IntN(10)) * time.Millisecond, Jitter: 5 * time.Millisecond,
		Refuse:       func(t sandbox.Token) bool { return strings.HasPrefix(t.Subject.ID, "refused-") },
		Reject:       func(t sandbox.Token) bool { return strings.HasPrefix(t.Subject.ID, "rejected-") },
		RejectStatus: []int{400, 422}[m.rnd.IntN(2)],
	}
	if m.rnd.IntN(3) == 0 {
		o.MaxTokens = 1 + m.rnd.IntN(20)
	}
	if m.end, err = newEndpoint(o); err != nil {
		return m, err
	}
	defer m.end.close()
	m.worker = worker{sourceURL: url, checkpointURL: url, schema: "tokenmigrate", endpoint: m.end.url, o: calmOptions("model")}
	m.worker.o.Log = zerolog.New(&m.late).Level(zerolog.DebugLevel)
	p := &m.worker.o.Policy
	p.SendExpired, p.SkipChanged, p.SendDuplicates = m.rnd.IntN(3) == 0, m.rnd.IntN(4) == 0, m.rnd.IntN(3) == 0
	p.InDoubt = []InDoubt{InDoubtSend, InDoubtSend, InDoubtFresh, InDoubtHold}[m.rnd.IntN(4)]
	m.src.settled = p.SkipChanged // what moved is sent all the same
	m.check = modelCheck{model: m, policy: *p}
	m.notef("%d rows, keys %s, a crowd of %d, missing expiry %s, policy %+v, the endpoint takes %d tokens a call (0: any), rejects with %d",
		most, m.src.keys.name, m.src.crowd, m.src.missingExpiry, *p, o.MaxTokens, o.RejectStatus)

	for range 1 + m.rnd.IntN(4) {
		if err := m.disturbed(ctx, most); err != nil {
			return m, err
		}
	}
	return m, m.quiet(ctx, most)
}

// vary changes what may change between two runs.
func (m *model) vary(rows int) {
	o := &m.worker.o
	o.ChunkTokens = max(1+m.rnd.IntN(50), rows/40)
	o.ChunkBytes = 1<<20 - m.rnd.IntN(2)*(1<<20-modelMaxBytes+m.rnd.IntN(modelMaxBytes-800))
	if m.src.oversized {
		o.ChunkBytes = min(o.ChunkBytes, modelMaxBytes)
	}
	o.Concurrency = 1 + m.rnd.IntN(8)
	o.MaxAttempts = 2 + m.rnd.IntN(4)
	o.Policy.Passes = 1 + m.rnd.IntN(3)
	o.RetryFailed = m.rnd.IntN(4) == 0
	o.CallTimeout = time.Duration(500+m.rnd.IntN(500)) * time.Millisecond
	o.Limit = 0
	if m.rnd.IntN(8) == 0 {
		o.Limit = int64(1 + m.rnd.IntN(rows))
	}
	o.Policy.StopAfterFailures = 2
	if m.rnd.IntN(6) == 0 {
		o.Policy.StopAfterFailures = 0.3
	}
	if m.pageSize == 0 || m.rnd.IntN(2) == 0 { // else pages may be as they were
		m.pageSize = 1 + m.rnd.IntN(60)
	}
	m.worker.source = m.src.options(m.pageSize)
}

// disturbed is one run among faults, changes and interruptions, and perhaps
// more changes after it.
func (m *model) disturbed(ctx context.Context, rows int) error {
	m.vary(rows)
	faults := m.faults()
	if err := m.end.SetFaults(faults); err != nil {
		return err
	}
	if err := m.check.begin(ctx); err != nil {
		return err
	}
	drain, stop := context.WithCancel(ctx)
	defer stop()
	cut, kill := context.WithCancel(ctx)
	defer kill()
	mode := m.rnd.IntN(4) // 0 and 1: let it be; 2: drain; 3: cut
	after := time.Duration(m.rnd.IntN(1500)) * time.Millisecond
	if mode >= 2 {
		defer time.AfterFunc(after, func() {
			stop()
			if mode == 3 {
				kill()
			}
		}).Stop()
	}
	o := &m.worker.o
	m.notef("run: chunks of %d tokens and %d bytes, %d a page, %d senders, %d passes, retry %v, limit %d, faults %v, interruption %d after %s",
		o.ChunkTokens, o.ChunkBytes, m.worker.source.PageSize, o.Concurrency, o.Policy.Passes, o.RetryFailed, o.Limit, faults, mode, after)
	changes := m.rnd.IntN(3) * m.rnd.IntN(20)
	stopChanging := m.changing(ctx, changes)
	r, err := m.worker.run(drain, cut)
	if cerr := stopChanging(); cerr != nil || r == nil {
		return errors.Join(cerr, err)
	}
	m.notef("it ended with %v; read %+v, calls %+v", err, r.Counts, r.Calls)
	m.end.wait()
	if cerr := m.check.run(ctx, r, err, changes == 0, mode == 3); cerr != nil {
		return cerr
	}
	for range m.rnd.IntN(10) {
		if err := m.src.mutate(ctx); err != nil {
			return err
		}
	}
	if m.rnd.IntN(12) == 0 {
		return nil // the next run waits for calls in doubt
	}
	return m.settleNow(ctx)
}

// settleNow lets the time pass after which calls in doubt are certainly over:
// the endpoint has none any more.
func (m *model) settleNow(ctx context.Context) error {
	var exists bool
	if err := m.db.QueryRow(ctx, `SELECT to_regclass('tokenmigrate.calls') IS NOT NULL`).Scan(&exists); err != nil || !exists {
		return err
	}
	_, err := m.db.Exec(ctx, `UPDATE tokenmigrate.calls SET settle_after = clock_timestamp() - interval '1 second'`)
	return err
}

// changing makes n changes while a run reads, and returns a function that ends
// and waits for that.
func (m *model) changing(ctx context.Context, n int) (end func() error) {
	ctx, cancel := context.WithCancel(ctx)
	var g errgroup.Group
	pauses := make([]time.Duration, n)
	for i := range pauses {
		pauses[i] = time.Duration(m.rnd.IntN(60)) * time.Millisecond
	}
	g.Go(func() error {
		for _, d := range pauses {
			if sleep(ctx, d) != nil {
				return nil
			}
			// A change is made whole or not at all, so that the model knows of it.
			if err := m.src.mutate(context.WithoutCancel(ctx)); err != nil {
				return fmt.Errorf("change the source: %w", err)
			}
		}
		return nil
	})
	return func() error { cancel(); return g.Wait() }
}

// faults are a few faults, each for a few calls.
func (m *model) faults() []sandbox.Fault {
	kinds := []sandbox.Fault{
		{Kind: sandbox.Status, Status: 500}, {Kind: sandbox.Status, Status: 504, Imports: true}, {Kind: sandbox.Status, Status: 502},
		{Kind: sandbox.Status, Status: 408, Imports: true}, {Kind: sandbox.Status, Status: 503}, {Kind: sandbox.Status, Status: 503, RetryAfter: "1"},
		{Kind: sandbox.Status, Status: 429, RetryAfter: "1"}, {Kind: sandbox.Status, Status: 429}, {Kind: sandbox.Status, Status: 425},
		{Kind: sandbox.Status, Status: 400}, {Kind: sandbox.Status, Status: 422}, {Kind: sandbox.Status, Status: 413},
		{Kind: sandbox.Status, Status: 201}, {Kind: sandbox.Status, Status: 204}, {Kind: sandbox.EchoCredentials}, {Kind: sandbox.EchoCredentials, Status: 500, Imports: true},
		{Kind: sandbox.Hang}, {Kind: sandbox.Hang, Imports: true}, {Kind: sandbox.ResetBeforeBody}, {Kind: sandbox.ResetInBody},
		{Kind: sandbox.ResetAfterBody}, {Kind: sandbox.ResetAfterImport}, {Kind: sandbox.ResetInAnswer}, {Kind: sandbox.CutBody},
		{Kind: sandbox.EmptyBody}, {Kind: sandbox.NotJSON}, {Kind: sandbox.OtherJSON}, {Kind: sandbox.SlowBody, Delay: 100 * time.Millisecond},
		{Kind: sandbox.SlowBody, Delay: 2 * time.Second}, {Kind: sandbox.LargeBody, N: 6 << 20},
		{Kind: sandbox.Shuffled}, {Kind: sandbox.TruncatedResults}, {Kind: sandbox.MissingResults}, {Kind: sandbox.RepeatedResults},
		{Kind: sandbox.ContradictingResults}, {Kind: sandbox.ExtraResults}, {Kind: sandbox.ForeignResults}, {Kind: sandbox.MiscountedImported},
		{Kind: sandbox.BareResults}, {Kind: sandbox.NovelFields}, {Kind: sandbox.SilentLimit, N: 1 + m.rnd.IntN(20)}, {Kind: sandbox.SilentLimitRefused, N: 1 + m.rnd.IntN(20)},
	}
	if m.rnd.IntN(4) == 0 { // these end a run
		kinds = append(kinds, sandbox.Fault{Kind: sandbox.NoResults}, sandbox.Fault{Kind: sandbox.WithoutSubject},
			sandbox.Fault{Kind: sandbox.WithoutSucceeded}, sandbox.Fault{Kind: sandbox.SucceededAsText})
		for _, status := range []int{302, 401, 402, 403, 404, 405, 409, 410} {
			kinds = append(kinds, sandbox.Fault{Kind: sandbox.Status, Status: status})
		}
	}
	var out []sandbox.Fault
	for range m.rnd.IntN(6) {
		f := kinds[m.rnd.IntN(len(kinds))]
		f.Share = 0.03 + 0.15*m.rnd.Float64()
		f.Times = 1 + m.rnd.IntN(3)
		out = append(out, f)
	}
	return out
}

// quiet ends the history: without faults, changes and interruptions everything
// must come to rest, in one run.
func (m *model) quiet(ctx context.Context, rows int) error {
	if err := m.end.SetFaults(nil); err != nil {
		return err
	}
	m.vary(rows)
	o := &m.worker.o
	o.Limit, o.RetryFailed, o.Policy.StopAfterFailures, o.CallTimeout = 0, true, 2, 10*time.Second
	dry, err := m.dry(ctx)
	if err != nil {
		return err
	}
	exact, err := m.foreseeable(ctx)
	if err != nil {
		return err
	}
	if err := m.check.begin(ctx); err != nil {
		return err
	}
	m.notef("last run: chunks of %d tokens and %d bytes, %d a page, %d senders, %d passes", o.ChunkTokens, o.ChunkBytes, m.worker.source.PageSize, o.Concurrency, o.Policy.Passes)
	r, err := m.worker.run(ctx, ctx)
	if r == nil {
		return err
	}
	m.notef("it ended with %v; read %+v, calls %+v", err, r.Counts, r.Calls)
	m.end.wait()
	if cerr := m.check.run(ctx, r, err, true, false); cerr != nil {
		return cerr
	}
	if err != nil && !errors.Is(err, ErrNotImported) {
		return fmt.Errorf("the last run ended with %w", err)
	}
	if err := m.check.atRest(ctx, r, err); err != nil {
		return err
	}
	if exact && r.Calls.Split == 0 && r.Calls.Retried == 0 && !m.check.unclear() {
		if err := foreseen(dry, r); err != nil {
			return err
		}
	}
	return m.again(ctx)
}

// dry makes a dry run, which must leave the endpoint alone.
func (m *model) dry(ctx context.Context) (*report.Report, error) {
	before := m.end.Summary().Calls
	dry, err := m.worker.dryRun(ctx)
	if err != nil && !errors.Is(err, ErrNotImported) {
		return nil, fmt.Errorf("the dry run ended with %w", err)
	}
	m.notef("dry run: %+v, %d calls", dry.Counts, dry.Projection.Calls)
	if n := m.end.Summary().Calls - before; n != 0 {
		return nil, fmt.Errorf("a dry run made %d calls", n)
	}
	return dry, reportAddsUp(dry)
}

// foreseeable tells whether a dry run can know the run's calls: the rows of
// calls that may still be under way join their chunks later than in their turn.
func (m *model) foreseeable(ctx context.Context) (bool, error) {
	var exists, undue bool
	err := m.db.QueryRow(ctx, `SELECT to_regclass('tokenmigrate.calls') IS NOT NULL`).Scan(&exists)
	if err == nil && exists {
		err = m.db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM tokenmigrate.calls WHERE settle_after > clock_timestamp())`).Scan(&undue)
	}
	return !undue, err
}

// foreseen compares a dry run with the run that followed.
func foreseen(dry, run *report.Report) error {
	if dry.Projection.Calls != run.Calls.Made || dry.Counts.Pending != run.Calls.Tokens {
		return fmt.Errorf("the dry run foresaw %d calls with %d tokens, the run made %d with %d", dry.Projection.Calls, dry.Counts.Pending, run.Calls.Made, run.Calls.Tokens)
	}
	d, r := dry.Counts, run.Counts
	if d.Read != r.Read || d.Unchanged != r.Unchanged || d.Invalid != r.Invalid || d.Skipped != r.Skipped {
		return fmt.Errorf("the dry run foresaw %+v, the run ended with %+v", d, r)
	}
	return nil
}

// again runs once more: there is nothing left to do.
func (m *model) again(ctx context.Context) error {
	m.vary(1 + len(m.src.snapshot()))
	m.worker.o.Limit, m.worker.o.RetryFailed = 0, false
	dry, err := m.dry(ctx)
	if err != nil {
		return err
	}
	if err := m.check.begin(ctx); err != nil {
		return err
	}
	r, err := m.worker.run(ctx, ctx)
	if err != nil && !errors.Is(err, ErrNotImported) {
		return fmt.Errorf("one run more ended with %w", err)
	}
	m.notef("one run more ended with %v; read %+v", err, r.Counts)
	if err := m.check.run(ctx, r, err, true, false); err != nil {
		return err
	}
	if key := m.check.sentNow(); key != "" {
		return violated(key, "it was sent by one run more, when nothing was left to do")
	}
	if dry.Projection.Calls != 0 || r.Calls.Made != 0 || r.Counts.Imported != 0 || r.Counts.Pending != 0 {
		return fmt.Errorf("one run more: the dry run foresaw %d calls, it made %d and counts %+v; nothing was left to do", dry.Projection.Calls, r.Calls.Made, r.Counts)
	}
	return nil
}
