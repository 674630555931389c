package migrate

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"tokenmigrate/checkpoint"
	"tokenmigrate/source"
)

// walks goes over the source until a walk sends nothing, at most as often as
// the policy allows.
func (p *pass) walks(ctx context.Context) error {
	if err := p.wait.database(ctx, theSource, func() error { return p.src.CheckKeys(ctx) }); err != nil {
		return err
	}
	p.estimate(ctx)
	if err := p.shareBudget(ctx); err != nil {
		return err
	}
	if err := p.loadDoubts(ctx); err != nil {
		return err
	}
	if err := p.lookForEarlier(ctx); err != nil {
		return err
	}
	for n := 1; n <= p.o.Policy.Passes; n++ {
		p.walkNo.Store(int32(n))
		if err := p.walk(ctx); err != nil {
			return err
		}
		if p.handed.Load() == 0 {
			break
		}
	}
	return nil
}

// lookForEarlier finds out whether this is the first run that gets anywhere. Then
// nothing has to be looked up in the checkpoint that this run did not send itself.
func (p *pass) lookForEarlier(ctx context.Context) error {
	err := p.wait.database(ctx, theCheckpoint, func() (err error) {
		p.blank, err = p.store.Blank(ctx, p.migration.ID)
		return err
	})
	if p.blank && p.o.Shards <= 1 {
		p.judge.sent = new(filter)
	}
	return err
}

// walk reads the source once from its beginning to its end, and sends what has
// to be sent.
func (p *pass) walk(ctx context.Context) error {
	p.rows.Store(0)
	p.read.Store(0)
	p.handed.Store(0)
	p.letGo.Store(0)
	p.sealed.Store(0)
	p.plain.Store(0)
	if err := p.wait.database(ctx, theSource, func() error { return p.src.Check(ctx) }); err != nil {
		return err
	}
	// Without a buffer: a chunk that waits for a sender waits in the reader,
	// which then reads no further, so that rows are young when they are sent.
	chunks := make(chan *chunk)
	g, ctx := errgroup.WithContext(ctx)
	p.walking = g
	for range p.o.Concurrency {
		g.Go(func() error { return p.send(ctx, chunks) })
	}
	var end error
	g.Go(func() error {
		defer close(chunks)
		end = p.feed(ctx, chunks)
		if errors.Is(end, errLimit) {
			return nil
		}
		return end
	})
	if err := g.Wait(); err != nil {
		return err
	}
	// Pages are handed to the recorder without waiting for it.
	if err := p.recorder.flush(); err != nil {
		return err
	}
	if err := p.ledger.endWalk(p.rows.Load(), end == nil); err != nil {
		return err
	}
	if end == nil {
		return p.judge.leaked()
	}
	return end
}

// feed reads pages, judges their rows and hands full chunks to the senders; at
// the end of the source also those that are not full.
func (p *pass) feed(ctx context.Context, chunks chan<- *chunk) error {
	ctx, cancel := context.WithCancel(ctx)
	ahead := &readAhead{pass: p}
	defer ahead.wait()
	defer cancel()
	open := newChunker(p.ceiling(), p.o.ChunkBytes)
	number := 0
	for end := false; !end; {
		if err := p.settleDoubts(ctx, open, chunks, false); err != nil {
			return err
		}
		page, err := ahead.next(ctx)
		if err != nil {
			return err
		}
		p.moved()
		number, end = number+1, page.End
		p.countValues(page.Rows)
		if end {
			p.reachedEnd(len(page.Rows))
		}
		if err := p.feedRows(ctx, open, chunks, page, number); err != nil {
			return err
		}
		p.read.Add(int64(len(page.Rows)))
		if end {
			p.reachedEnd(0) // rows may have vanished meanwhile
		}
		p.logPage(len(page.Rows))
	}
	if err := p.settleDoubts(ctx, open, chunks, true); err != nil {
		return err
	}
	return p.handOver(ctx, chunks, open.flush()...)
}

// feedRows judges the rows of the walk's number-th page, has their endings recorded
// and hands over the chunks that become full.
func (p *pass) feedRows(ctx context.Context, open *chunker, chunks chan<- *chunk, page source.Page, number int) error {
	rows, e := p.setDoubtsAside(page.Rows)
	know := p.ofPage(number, &e.page)
	if p.blank && p.walkNo.Load() == 1 {
		know = nothingKnown{}.byKey
	}
	rulings, err := p.judgeRows(ctx, rows, know)
	if err != nil {
		return err
	}
	for i := range rulings {
		p.note(e, &rulings[i], rulings[i].place, standing{})
		if rulings[i].item != nil {
			e.page = nil // what is sent changes what is known of it
		}
	}
	p.rows.Add(int64(len(rulings)))
	return p.joinAll(ctx, open, chunks, e, rulings, page.ReadAt)
}

// joinAll hands the entry that counts rulings to the recorder, and then their
// items to the open chunks.
func (p *pass) joinAll(ctx context.Context, open *chunker, chunks chan<- *chunk, e *entry, rulings []ruling, readAt time.Time) error {
	if err := p.recorder.submit(e); err != nil {
		return err
	}
	for i := range rulings {
		if rulings[i].item == nil {
			continue
		}
		if err := p.join(ctx, open, chunks, rulings[i].item, readAt); err != nil {
			return err
		}
	}
	return nil
}

// join puts an item into its open chunk, and ends the walk when that fills the
// limit.
func (p *pass) join(ctx context.Context, open *chunker, chunks chan<- *chunk, it *item, readAt time.Time) error {
	open.maxTokens = p.ceiling()
	p.handed.Add(1)
	p.admitted++
	if full := open.add(it, readAt); full != nil {
		if err := p.handOver(ctx, chunks, full); err != nil {
			return err
		}
	}
	if p.o.Limit > 0 && p.admitted >= p.o.Limit {
		if err := p.handOver(ctx, chunks, open.flush()...); err != nil {
			return err
		}
		return errLimit
	}
	return nil
}

// note adds a ruling to an entry: the row's move, and its ending if the
// checkpoint does not know it.
func (p *pass) note(e *entry, r *ruling, from place, was standing) {
	switch {
	case was == standing{}:
		e.moves.add(r.place, standing{}, r.ended)
	default: // counted already, perhaps elsewhere
		e.moves.add(from, was, standing{})
		e.moves.add(r.place, standing{}, r.ended)
	}
	if r.record {
		local := r.local()
		if local.Outcome == unchanged {
			local.Outcome = checkpoint.Imported
		}
		e.locals = append(e.locals, local)
	}
	if r.item == nil {
		p.log.Trace().Str("key", r.key).Str("outcome", string(r.ended.outcome)).Str("reason", r.ended.reason).Msg("row")
	}
}

func (p *pass) handOver(ctx context.Context, chunks chan<- *chunk, full ...*chunk) error {
	for _, c := range full {
		select {
		case chunks <- c:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// judgeAgain judges rows that were read again, in their order.
func (p *pass) judgeAgain(ctx context.Context, rows []source.Row) ([]ruling, error) {
	return p.judgeRows(ctx, rows, p.judge.byKey)
}

// ofPage looks the walk's number-th page up, and leaves in page what is to be remembered
// of it.
func (p *pass) ofPage(number int, page **checkpoint.Page) lookUp {
	return func(ctx context.Context, asked []checkpoint.Asked) (priors []checkpoint.Prior, err error) {
		priors, *page, err = p.judge.known.PagePriors(ctx, p.migration.ID, p.run, p.o.Shard, number, asked)
		return priors, err
	}
}

// judgeRows judges rows in their order.
func (p *pass) judgeRows(ctx context.Context, rows []source.Row, know lookUp) (rulings []ruling, err error) {
	if len(rows) == 0 {
		return nil, nil
	}
	marks := p.judge.hash.marks(rows)
	err = p.wait.database(ctx, eitherOne, func() (err error) {
		rulings, err = p.judge.rows(ctx, rows, marks, know)
		return err
	})
	return rulings, err
}

// countValues counts what an Opener found in a page's rows.
func (p *pass) countValues(rows []source.Row) {
	sealed, plain := 0, 0
	for i := range rows {
		sealed, plain = sealed+rows[i].Decrypted, plain+rows[i].Plain
	}
	p.sealed.Add(int64(sealed))
	p.plain.Add(int64(plain))
}

// rowsByKey reads rows as they are now, and tells when that was.
func (p *pass) rowsByKey(ctx context.Context, keys []string) (out map[string]source.Row, readAt time.Time, err error) {
	out = make(map[string]source.Row, len(keys))
	err = p.wait.database(ctx, theSource, func() error {
		readAt = p.now()
		rows, err := p.rereads.Rows(ctx, keys)
		for _, row := range rows {
			out[row.Key] = row
		}
		return err
	})
	return out, readAt, err
}
