package migrate

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/connect"
	"tokenmigrate/migrate/report"
	"tokenmigrate/source"
)

// Migrator moves the tokens of one source to the endpoint, under one migration
// of a checkpoint.
type Migrator struct {
	o     Options
	src   *source.Reader
	store *checkpoint.Store
	dst   *connect.Client // nil in a dry run
}

// New returns a migrator over a source, a checkpoint and an endpoint that are
// open. None of them is closed by it. The store of a dry run may be nil, which
// stands for an empty checkpoint, and so may its dst.
func New(o Options, src *source.Reader, store *checkpoint.Store, dst *connect.Client) *Migrator {
	if o.Shards == 0 {
		o.Shards = 1
	}
	if o.Dead == nil {
		o.Dead = func(string) bool { return false }
	}
	if o.now == nil {
		o.now = time.Now
	}
	if o.Watch == nil {
		o.Watch = new(Watch)
	}
	return &Migrator{o: o, src: src, store: store, dst: dst}
}

// pass is one run's state, shared by its goroutines.
type pass struct {
	o         *Options
	migration checkpoint.Migration
	run       int64
	store     *checkpoint.Store
	src       pages
	rereads   rereader
	importer  importer
	judge     *judge
	recorder  *recorder
	ledger    *ledger
	pace      *pace
	health    *health
	tenure    *tenure
	wait      *patience
	log       zerolog.Logger
	now       func() time.Time

	// cut ends calls in flight; the contexts that functions are given only end
	// what comes before a call. It is kept here since it is the same for all.
	cut      context.Context
	cutShort context.CancelFunc // ends cut

	walking *errgroup.Group // the goroutines of the walk that is under way

	blank bool // nothing of the migration was on record when the run began

	rows      atomic.Int64 // taken from the source in this walk
	read      atomic.Int64 // rows of the walk that are behind the reader, for progress
	sealed    atomic.Int64 // values of this walk's rows that the store had encrypted
	plain     atomic.Int64 // those that it keeps in the clear, though it may encrypt
	handed    atomic.Int64 // tokens meant for senders in this walk
	admitted  int64        // likewise, in this run; the feeding goroutine's
	named     atomic.Int64 // answers of this run that named a token
	letGo     atomic.Int64 // of these, left pending for good
	lastMoved atomic.Int64 // when there was progress, in Unix nanoseconds
	movements atomic.Int64 // how often there was
	total     atomic.Int64 // rows of the source, estimated until counted
	counted   atomic.Bool  // a walk came to the end: total is what it took
	walkNo    atomic.Int32
	sending   inHand

	mu        sync.Mutex
	maxTokens int
	stopped   map[string]string // connectors that refuse, and what they said
	breakers  map[string]*breaker

	doubts  *doubts
	samples sampler
}

// Run migrates until the walks over the source are done, the limit is reached,
// or something stops it. The end of ctx asks it to drain: it reads no further,
// lets calls in flight finish and records their answers; the end of cut, or the
// drain time, ends these too. It returns after its last goroutine, always with a
// report; one of a run that could not begin has no rows.
//
// Errors wrap one of ErrNotImported, ErrRefused, ErrUnavailable, ErrHeld,
// ErrStopped, ErrStalled or ErrConfig, or are a *source.ConfigError or *pgerr.Error.
func (m *Migrator) Run(ctx, cut context.Context) (*report.Report, error) {
	r := m.newReport("run")
	m.o.Watch.begin(r)
	defer m.o.Watch.end(r)
	p, err := m.begin(ctx)
	if err != nil {
		err = stopError(ctx, err)
		code := m.o.ExitCode(err)
		r.ExitCode = &code
		return m.o.finish(r, err), err
	}
	cut, cancel := context.WithCancel(cut)
	defer cancel()
	p.cut, p.cutShort = cut, cancel
	r.StartedAt = p.samples.started.UTC() // as the runs table has it: a wait for the lease is over
	m.o.Watch.attach(p)
	stopTimer := context.AfterFunc(ctx, func() {
		m.o.Log.Warn().Stringer("limit", m.o.CallTimeout+settleMargin).
			Msg("stopping: calls in flight finish and are recorded; a second signal cuts that short and leaves their tokens in doubt")
		if sleep(cut, m.o.CallTimeout+settleMargin) == nil {
			cancel()
		}
	})
	err = p.work(ctx)
	stopTimer()
	limited := err == errLimit
	if err == nil || limited {
		err = p.judgeEnd(limited)
	}
	err = stopError(ctx, err)
	p.account(r, limited)
	if r.Counts.Read == 0 && err == nil {
		r.Warnings = append(r.Warnings, noRows)
		p.log.Warn().Msg(noRows)
	}
	m.o.finish(r, err)
	return r, p.close(ctx, r, err)
}

// newReport returns a report that begins now.
func (m *Migrator) newReport(mode string) *report.Report {
	r := report.New(m.o.Migration, mode)
	if m.o.Shards > 1 {
		r.Shards, r.Shard = m.o.Shards, new(m.o.Shard)
	}
	return r
}

// begin makes sure of tables, migration, lease and run.
func (m *Migrator) begin(ctx context.Context) (*pass, error) {
	o := &m.o
	if err := m.store.Migrate(ctx); err != nil {
		return nil, err
	}
	migration, err := m.store.CreateMigration(ctx, o.Migration, func(key []byte) map[string]string { return target(o, key) })
	if err != nil {
		return nil, err
	}
	if _, err := checkTarget(ctx, o, m.store, migration); err != nil {
		return nil, err
	}
	t, err := acquire(ctx, m.store, migration.ID, o)
	if err != nil {
		return nil, err
	}
	if err := m.retarget(ctx, o.Migration); err != nil {
		return nil, errors.Join(err, m.store.Release(context.WithoutCancel(ctx), t.lease))
	}
	migration.Shards = o.Shards
	run, err := m.store.StartRun(ctx, t.lease, o.Version, "run")
	if err != nil {
		return nil, errors.Join(err, m.store.Release(context.WithoutCancel(ctx), t.lease))
	}
	p := newPass(o, migration, run, m.store, m.src)
	p.importer, p.tenure = m.dst, t
	p.recorder = newRecorder(m.store, t.lease, run, p.ledger, p.kept, p.waitingFor, p.wait, o.Log)
	return p, nil
}

// retarget makes the checkpoint's target that of the options. It is for who holds
// the lease, and looks again: another worker may have begun in the meantime.
func (m *Migrator) retarget(ctx context.Context, name string) error {
	migration, err := m.store.Migration(ctx, name)
	if err != nil {
		return err
	}
	changed, err := checkTarget(ctx, &m.o, m.store, migration)
	if err != nil || len(changed) == 0 {
		return err
	}
	m.o.Log.Warn().Strs("changed", changed).Msg("the configuration changed since the last run; this one counts from now on")
	return m.store.SetTarget(ctx, migration.ID, target(&m.o, migration.FingerprintKey))
}

// newPass returns what a run and a dry run share.
func newPass(o *Options, migration checkpoint.Migration, run int64, store *checkpoint.Store, src *source.Reader) *pass {
	if o.Watch == nil {
		o.Watch = new(Watch)
	}
	l := new(ledger)
	p := &pass{
		o: o, migration: migration, run: run, store: store, src: src, rereads: src, ledger: l,
		pace:   newPace(o.RequestsPerMinute, l.waited),
		health: &health{limit: o.OutageWait},
		wait:   &patience{limit: cmp.Or(o.databaseWait, databaseWait), waited: l.waited, heard: o.Watch.heard, log: o.Log},
		log:    o.Log, now: o.now,
		maxTokens: o.ChunkTokens, stopped: map[string]string{}, breakers: map[string]*breaker{},
	}
	if c := migration.ChunkCeiling; c > 0 && c < p.maxTokens {
		p.maxTokens = c
	}
	var known lookup = store
	if o.Shards > 1 {
		known = amongOthers{store}
	}
	p.judge = &judge{
		policy: o.Policy, retryFailed: o.RetryFailed, maxBytes: o.ChunkBytes,
		migration: migration.ID, run: run, known: known, reread: src, now: o.now,
		hash: newHasher(migration.FingerprintKey, o.Destination), claims: claimMap{},
	}
	p.pace.now = o.now
	p.doubts = &doubts{passed: map[string]place{}}
	p.samples.started = o.now()
	return p
}

// noRows is the loud warning of a run or dry run that found nothing.
const noRows = "the source has no rows: check the query, its conditions and the role's privileges"

// errLimit ends the walks when --limit is reached.
var errLimit = errors.New("the limit of tokens is reached")

// work runs the walks beside the goroutines that serve them. ctx drains.
func (p *pass) work(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	serving, stopServing := context.WithCancel(p.cut)
	defer stopServing()
	g.Go(func() error { return p.recorder.serve(p.cut) })
	g.Go(func() error { return p.tenure.keep(serving, p.store, p.log) })
	g.Go(func() error { p.steering(serving); return nil })
	g.Go(func() error { p.progress(serving); return nil })
	g.Go(func() error { p.sampling(serving); return nil })
	g.Go(func() error { return p.watchdog(serving) })
	g.Go(func() error {
		defer stopServing()
		defer close(p.recorder.in)
		return p.walks(ctx)
	})
	return g.Wait()
}

func (p *pass) ceiling() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.maxTokens
}

// refused tells that a connector takes no more calls in this run.
func (p *pass) refused(connector string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.stopped[connector]
	return ok
}

// refuse stops calls to one connector for the rest of this run.
func (p *pass) refuse(connector, words string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.stopped[connector]; !ok {
		p.stopped[connector] = words
		p.log.Warn().Str("connector", connector).Str("said", words).
			Msg("the endpoint refuses this connector; its tokens stay pending, the others go on")
	}
}

// judged tells a connector's breaker how a token ended; true: it is open.
func (p *pass) judged(connector string, refused bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.breakers[connector]
	if b == nil {
		b = &breaker{share: p.o.Policy.StopAfterFailures}
		p.breakers[connector] = b
	}
	return b.judged(refused)
}
