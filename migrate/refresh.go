package migrate

import (
	"context"
	"time"

	"tokenmigrate/source"
)

// old tells that a chunk's rows have to be read again before they are sent.
func (p *pass) old(c *chunk) bool { return p.now().Sub(c.oldest) > maxAge }

// refresh reads a chunk's rows again, since they are older than maxAge or another
// shard contests them. Rows that are as they were stay; rows that vanished are
// counted no more; rows that changed or are contested are judged anew. It returns the
// chunk, nil if nothing is left of it, and chunks of what no longer fits it.
func (p *pass) refresh(ctx context.Context, c *chunk) (*chunk, []*chunk, error) {
	keys := make([]string, len(c.items))
	for i, it := range c.items {
		keys[i] = it.key
	}
	rows, readAt, err := p.rowsByKey(ctx, keys)
	if err != nil {
		return nil, nil, err
	}
	var kept, changed []*item
	var anew []source.Row
	e := &entry{}
	for _, it := range c.items {
		row, there := rows[it.key]
		switch {
		case there && !it.contested && row.Reason == "" && p.judge.same(it, &row) && p.stillDue(it, readAt):
			it.token = row.Token // a made-up expiry counts from now
			kept = append(kept, it)
			continue
		case there:
			anew, changed = append(anew, row), append(changed, it)
		case it.standing.outcome == pending: // a token in doubt stays so, even though its row is gone
			e.moves.add(it.place(), it.standing, standing{})
			p.rows.Add(-1)
		}
		p.judge.release(it.identity, it.key)
	}
	rulings, err := p.judgeAgain(ctx, anew)
	if err != nil {
		return nil, nil, err
	}
	open := newChunker(p.ceiling(), p.o.ChunkBytes)
	var extra []*chunk
	for i := range rulings {
		r, was := &rulings[i], changed[i]
		p.note(e, r, was.place(), was.standing)
		if r.item == nil {
			continue
		}
		r.item.sent = r.item.sent || was.sent
		if r.item.connector == c.connector && r.item.identity == was.identity {
			kept = append(kept, r.item)
		} else if full := open.add(r.item, readAt); full != nil {
			extra = append(extra, full)
		}
	}
	extra = append(extra, open.flush()...)
	if len(e.moves) > 0 || len(e.locals) > 0 {
		if err := p.recorder.submit(e); err != nil {
			return nil, nil, err
		}
	}
	if len(kept) == 0 {
		return nil, extra, nil
	}
	fresh := c.with(kept)
	fresh.oldest = readAt
	if fresh.bytes > p.o.ChunkBytes && len(kept) > 1 {
		return nil, append(fresh.halve(), extra...), nil
	}
	return fresh, extra, nil
}

// stillDue tells that time alone has not changed what becomes of an item.
func (p *pass) stillDue(it *item, now time.Time) bool {
	if it.sent && !mayResend(it, &p.o.Policy, now) {
		return false
	}
	return p.o.Policy.SendExpired || !expired(it, now)
}
