package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"tokenmigrate/checkpoint"
	"tokenmigrate/checkpoint/pgerr"
	"tokenmigrate/migrate/connect"
	"tokenmigrate/migrate/report"
)

// projectedSizes are the chunk sizes that a dry run projects beside the
// configured one.
var projectedSizes = []int{25, 50, 100, 200, 500, 1000}

// DryRun reads, maps, validates and judges every row as Run would, makes no call
// and writes nothing anywhere. Pending counts what would be sent, Projection how
// many calls that takes. It keeps 8 to 16 bytes of memory a row to be sent, to
// find duplicates.
//
// Errors are those that Run would end with, as far as they can be known.
func (m *Migrator) DryRun(ctx context.Context) (*report.Report, error) {
	r := m.newReport("dry-run")
	m.o.Watch.begin(r)
	defer m.o.Watch.end(r)
	err := m.dryRun(ctx, r)
	if err != nil && ctx.Err() != nil {
		err = ErrStopped
	}
	err = stopError(ctx, err)
	m.o.finish(r, err)
	code := m.o.ExitCode(err)
	r.ExitCode = &code
	return r, err
}

func (m *Migrator) dryRun(ctx context.Context, r *report.Report) error {
	var migration checkpoint.Migration
	err := checkpoint.ErrNoMigration
	if m.store != nil {
		migration, err = m.store.Migration(ctx, m.o.Migration)
	}
	fresh := errors.Is(err, checkpoint.ErrNoMigration)
	switch {
	case fresh:
		migration.FingerprintKey = []byte("a dry run without a checkpoint compares with nothing")
	case errors.Is(err, checkpoint.ErrOlderSchema), errors.Is(err, checkpoint.ErrNewerSchema):
		return fmt.Errorf("%w: %w", ErrConfig, err)
	case err != nil:
		return err
	default:
		if _, err := checkTarget(ctx, &m.o, m.store, migration); err != nil {
			return err
		}
	}
	p := newPass(&m.o, migration, 0, m.store, m.src)
	p.judge.claims = newSeen()
	if fresh {
		p.judge.known = nothingKnown{}
	} else if err := p.foreseeDoubts(ctx); err != nil {
		return err
	}
	r.Paused = migration.Paused
	m.o.Watch.attach(p)
	p.estimate(ctx)
	d := newForecast(p)
	if !fresh {
		if err := d.steer(ctx, r); err != nil {
			return err
		}
	}
	telling, stopTelling := context.WithCancel(ctx)
	var told sync.WaitGroup
	told.Go(func() { p.progress(telling) })
	err = p.foresee(ctx, d)
	stopTelling()
	told.Wait()
	p.account(r, errors.Is(err, errLimit))
	if m.store != nil && !fresh {
		totals, terr := m.store.Totals(ctx, migration.ID)
		if terr != nil && err == nil {
			err = terr
		}
		for outcome, n := range totals {
			r.Totals[string(outcome)] = n
		}
	}
	d.fill(r)
	if errors.Is(err, errLimit) {
		return nil
	}
	if err != nil {
		return err
	}
	if r.Counts.Read == 0 {
		r.Warnings = append(r.Warnings, noRows)
		m.o.Log.Warn().Msg(noRows)
	}
	if n := m.o.Shards; n > 1 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("this is shard %d of %d alone: the rows of the others are not in it, nor duplicates between shards; leave the shards out to see all", m.o.Shard, n))
	}
	c := r.Counts
	c.Pending = 0 // these would be sent
	if err := notImported(c, &m.o); err != nil {
		return fmt.Errorf("a run would end so: %w", err)
	}
	return nil
}

// foresee walks over the source as a run would.
func (p *pass) foresee(ctx context.Context, d *forecast) error {
	if err := p.src.CheckKeys(ctx); err != nil {
		return err
	}
	if err := p.src.Check(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	ahead := &readAhead{pass: p}
	defer ahead.wait()
	defer cancel()
	number := 0
	for end := false; !end; {
		page, err := ahead.next(ctx)
		if err != nil {
			return err
		}
		p.moved()
		number, end = number+1, page.End
		var forgotten *checkpoint.Page // a dry run writes nothing
		rulings, err := p.judgeRows(ctx, page.Rows, p.ofPage(number, &forgotten))
		if err != nil {
			return err
		}
		// All counts are of the rows up to the limit, as if the source ended there.
		full := false
		for i := range rulings {
			if d.add(&rulings[i], page.ReadAt) && p.o.Limit > 0 && d.pending >= p.o.Limit {
				full, rulings = true, rulings[:i+1]
				break
			}
		}
		p.countValues(page.Rows[:len(rulings)])
		var counted moves
		for i := range rulings {
			counted.add(rulings[i].place, standing{}, rulings[i].ended)
			p.log.Trace().Str("key", rulings[i].key).Str("outcome", string(rulings[i].ended.outcome)).Str("reason", rulings[i].ended.reason).Msg("row")
		}
		p.ledger.apply(counted, false)
		p.rows.Add(int64(len(rulings)))
		p.read.Add(int64(len(rulings)))
		if full {
			return errLimit
		}
		if end {
			p.reachedEnd(0)
		}
		p.logPage(len(page.Rows))
	}
	return p.ledger.endWalk(p.rows.Load(), true)
}

// foreseeDoubts makes judge treat the tokens of calls in doubt as a run would
// once these are settled.
func (p *pass) foreseeDoubts(ctx context.Context) error {
	left, err := p.store.Unsettled(ctx, checkpoint.Lease{Migration: p.migration.ID, Shard: p.o.Shard, Shards: p.o.Shards}, 0)
	if err != nil || len(left) == 0 {
		return err
	}
	known := &settledLookup{lookup: p.judge.known, prior: make(map[string]checkpoint.Prior), owner: make(map[checkpoint.Hash]string)}
	for _, u := range left {
		for i, key := range u.Keys {
			known.prior[key] = checkpoint.Prior{Outcome: checkpoint.Unknown, Reason: reasonInDoubt, Fingerprint: u.Fingerprints[i], Identity: u.Identities[i]}
			known.owner[u.Identities[i]] = key
		}
	}
	p.judge.known = known
	return nil
}

// settledLookup answers as the checkpoint will once calls in doubt are settled.
type settledLookup struct {
	lookup
	prior map[string]checkpoint.Prior
	owner map[checkpoint.Hash]string
}

func (s *settledLookup) Priors(ctx context.Context, migration int64, asked []checkpoint.Asked) ([]checkpoint.Prior, error) {
	priors, err := s.lookup.Priors(ctx, migration, asked)
	if err != nil {
		return nil, err
	}
	for i := range asked {
		if doubt, ok := s.prior[asked[i].Key]; ok {
			doubt.Imported = priors[i].Imported
			priors[i] = doubt
		}
	}
	return priors, nil
}

// PagePriors is Priors: what is remembered does not tell of calls in doubt.
func (s *settledLookup) PagePriors(ctx context.Context, migration, _ int64, _, _ int, asked []checkpoint.Asked) ([]checkpoint.Prior, *checkpoint.Page, error) {
	priors, err := s.Priors(ctx, migration, asked)
	return priors, nil, err
}

func (s *settledLookup) Owners(ctx context.Context, migration int64, identities []checkpoint.Hash) (checkpoint.Owners, error) {
	owners, err := s.lookup.Owners(ctx, migration, identities)
	if err != nil {
		return checkpoint.Owners{}, err
	}
	for _, identity := range identities {
		key, ok := s.owner[identity]
		if ok && !slices.Contains(owners.Sent[identity], key) {
			owners.Sent[identity] = append(owners.Sent[identity], key)
		}
		if calling := owners.Calling[identity]; ok && len(calling) > 0 {
			owners.Calling[identity] = slices.DeleteFunc(calling, func(k string) bool { return k == key })
		}
	}
	return owners, nil
}

// nothingKnown is the lookup of an empty checkpoint.
type nothingKnown struct{}

func (nothingKnown) byKey(_ context.Context, asked []checkpoint.Asked) ([]checkpoint.Prior, error) {
	return make([]checkpoint.Prior, len(asked)), nil
}

func (n nothingKnown) Priors(ctx context.Context, _ int64, asked []checkpoint.Asked) ([]checkpoint.Prior, error) {
	return n.byKey(ctx, asked)
}

func (n nothingKnown) PagePriors(ctx context.Context, _, _ int64, _, _ int, asked []checkpoint.Asked) ([]checkpoint.Prior, *checkpoint.Page, error) {
	priors, err := n.byKey(ctx, asked)
	return priors, nil, err
}

func (nothingKnown) Owners(context.Context, int64, []checkpoint.Hash) (checkpoint.Owners, error) {
	return checkpoint.Owners{}, nil
}

// forecast packs what would be sent into calls, as a run packs it.
type forecast struct {
	p       *pass
	pace    float64 // calls a minute
	sizes   []int   // the configured one first
	packers []*chunker
	calls   []int64
	pending int64
	expiry  expiries
	listed  *listing
}

func newForecast(p *pass) *forecast {
	d := &forecast{p: p, pace: p.o.RequestsPerMinute, sizes: []int{p.ceiling()}, listed: newListing()}
	for _, n := range projectedSizes {
		if n != d.sizes[0] {
			d.sizes = append(d.sizes, n)
		}
	}
	for _, n := range d.sizes {
		d.packers = append(d.packers, newChunker(n, p.o.ChunkBytes))
	}
	d.calls = make([]int64, len(d.sizes))
	return d
}

// add takes one ruling in, and reports whether its token would be sent.
func (d *forecast) add(r *ruling, readAt time.Time) bool {
	if r.item == nil {
		if o := r.ended.outcome; o != unchanged && o != checkpoint.Imported {
			f := report.Failure{Key: r.key, Connector: r.place.Connector, Reason: r.ended.reason, Detail: r.detail}
			if d.p.o.ShowSubjects {
				f.Subject = r.subject
			}
			d.listed.add(f)
		}
		return false
	}
	d.pending++
	d.countExpiry(&r.item.token, readAt, r.item.madeUp)
	light := &item{connector: r.item.connector, identity: r.item.identity, size: r.item.size}
	for i, packer := range d.packers {
		if packer.add(light, readAt) != nil {
			d.calls[i]++
		}
	}
	return true
}

// fill writes projection, expiry, duplicates and failures into the report.
func (d *forecast) fill(r *report.Report) {
	for i, packer := range d.packers {
		calls := d.calls[i] + int64(len(packer.flush()))
		r.Projection.ByChunkTokens = append(r.Projection.ByChunkTokens, report.ProjectionChunkTokens{
			ChunkTokens: d.sizes[i], Calls: calls, Seconds: seconds(calls, d.pace),
		})
	}
	r.Projection.Calls = r.Projection.ByChunkTokens[0].Calls
	r.Projection.Seconds = r.Projection.ByChunkTokens[0].Seconds
	slices.SortFunc(r.Projection.ByChunkTokens, func(a, b report.ProjectionChunkTokens) int { return a.ChunkTokens - b.ChunkTokens })
	r.Projection.ChunkTokens = d.sizes[0]
	r.Expiry = d.expiry.report(time.Duration(min(r.Projection.Seconds*float64(time.Second), float64(forever/2))))
	r.Pace.RequestsPerMinute, r.Pace.Current = d.p.o.RequestsPerMinute, d.pace
	if found, ok := d.p.judge.claims.(*seen); ok && !d.p.o.Policy.SendDuplicates {
		r.Duplicates = report.Duplicates{Method: "hashes", Bytes: found.bytes()}
	}
	r.Failures = d.listed.failures
}

// steer has the forecast reckon with the pace that an operator asked for, if any.
func (d *forecast) steer(ctx context.Context, r *report.Report) error {
	o := d.p.o
	host, team := Budget(o.Destination)
	s, err := d.p.store.Steering(ctx, d.p.migration.ID, host, team, o.Target["destination"])
	if pgerr.CodeOf(err) == "42501" { // no figure is worth more privileges than the rest needs
		r.Warnings = append(r.Warnings, "whether an operator set another pace is not known: the role may not read the checkpoint's leases and paces")
		return nil
	}
	if err != nil || s.RequestsPerMinute <= 0 || s.RequestsPerMinute == o.RequestsPerMinute {
		return err
	}
	d.pace = s.RequestsPerMinute
	r.Warnings = append(r.Warnings, fmt.Sprintf("an operator set the pace to %.10g calls a minute, in place of the %.10g that are configured; `tokenmigrate pace default` undoes that", s.RequestsPerMinute, o.RequestsPerMinute))
	return nil
}

// seconds is how long calls take at a pace: the first is made at once.
func seconds(calls int64, rpm float64) float64 {
	if calls <= 1 || rpm <= 0 {
		return 0
	}
	return float64(calls-1) * 60 / rpm
}

func (d *forecast) countExpiry(t *connect.Token, now time.Time, madeUp bool) {
	left := forever
	if !madeUp {
		left = time.UnixMilli(t.ExpiresAt).Sub(now)
	}
	d.expiry.add(left, !t.RefreshToken.Empty())
}
