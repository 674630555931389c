package migrate

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tokenmigrate/checkpoint"
	"tokenmigrate/source"
)

// doubts are the calls that an earlier run left behind without an answer. As
// long as one may still be under way its tokens are set aside; everything else
// goes on. Only the goroutine that feeds the senders uses it.
type doubts struct {
	calls  []callInDoubt
	passed map[string]place // keys that the walk came by, counted as pending
}

type callInDoubt struct {
	id         uuid.UUID
	keys       []string
	identities []checkpoint.Hash
	due        time.Time
}

// dueMargin covers the rounding between the database's clock and ours.
const dueMargin = 50 * time.Millisecond

// loadDoubts reads what earlier runs of this shard left in doubt.
func (p *pass) loadDoubts(ctx context.Context) error {
	return p.wait.database(ctx, theCheckpoint, func() error {
		left, err := p.store.Unsettled(ctx, p.tenure.lease, p.run)
		if err != nil {
			return err
		}
		p.doubts.calls = nil
		tokens, longest := 0, time.Duration(0)
		for _, u := range left {
			p.doubts.calls = append(p.doubts.calls, callInDoubt{u.ID, u.Keys, u.Identities, p.now().Add(u.Due + dueMargin)})
			tokens, longest = tokens+len(u.Keys), max(longest, u.Due)
			for i, key := range u.Keys {
				p.judge.claim(u.Identities[i], key)
			}
		}
		if tokens > 0 {
			p.log.Warn().Int("calls", len(left)).Int("tokens", tokens).Stringer("wait", max(longest, 0).Round(time.Second)).
				Msg("an earlier run ended before it recorded the answers to these calls; their tokens wait until the calls are certainly over")
		}
		return nil
	})
}

// setDoubtsAside takes the rows of calls in doubt out of a page, counted as
// pending, and returns the others with the entry that counts.
func (p *pass) setDoubtsAside(rows []source.Row) ([]source.Row, *entry) {
	e := &entry{}
	if len(p.doubts.calls) == 0 {
		return rows, e
	}
	aside := make(map[string]bool)
	for i := range p.doubts.calls {
		for _, key := range p.doubts.calls[i].keys {
			aside[key] = true
		}
	}
	kept := make([]source.Row, 0, len(rows))
	for i := range rows {
		if !aside[rows[i].Key] {
			kept = append(kept, rows[i])
			continue
		}
		at := place{Connector: rows[i].Connector, Environment: rows[i].Token.Environment}
		p.doubts.passed[rows[i].Key] = at
		p.rows.Add(1)
		e.moves.add(at, standing{}, standing{outcome: pending})
	}
	return kept, e
}

// settleDoubts turns calls that are certainly over into unknown tokens, and
// judges those of their rows anew that the walk has passed. At the end of a walk
// it waits for the last of them.
func (p *pass) settleDoubts(ctx context.Context, open *chunker, chunks chan<- *chunk, end bool) error {
	for len(p.doubts.calls) > 0 {
		var ids []uuid.UUID
		next := p.doubts.calls[0].due
		for _, d := range p.doubts.calls {
			if !d.due.After(p.now()) {
				ids = append(ids, d.id)
			} else if next.Before(p.now()) || d.due.Before(next) {
				next = d.due
			}
		}
		if len(ids) == 0 {
			if !end {
				return nil
			}
			done := p.wait.waiting("calls in doubt")
			err := sleep(ctx, next.Sub(p.now()))
			done()
			if err != nil {
				return err
			}
			continue
		}
		keys, err := p.settle(ctx, ids)
		if err != nil {
			return err
		}
		if err := p.takeBack(ctx, open, chunks, keys); err != nil {
			return err
		}
	}
	return nil
}

// settle has the checkpoint settle calls, and returns the keys of those that
// the walk has passed.
func (p *pass) settle(ctx context.Context, ids []uuid.UUID) ([]string, error) {
	var settled []uuid.UUID
	err := p.wait.database(ctx, theCheckpoint, func() (err error) {
		settled, err = p.store.Settle(ctx, p.tenure.lease, p.run, ids)
		return err
	})
	if err != nil {
		return nil, err
	}
	over := make(map[uuid.UUID]bool, len(settled))
	for _, id := range settled {
		over[id] = true
	}
	var keys []string
	left := p.doubts.calls[:0]
	for _, d := range p.doubts.calls {
		if !over[d.id] {
			if !d.due.After(p.now()) { // the database's clock is behind ours
				d.due = p.now().Add(time.Second)
			}
			left = append(left, d)
			continue
		}
		for i, key := range d.keys {
			p.judge.release(d.identities[i], key)
			if _, ok := p.doubts.passed[key]; ok {
				keys = append(keys, key)
			}
		}
	}
	p.doubts.calls = left
	return keys, nil
}

// takeBack judges rows that were set aside and whose calls are settled.
func (p *pass) takeBack(ctx context.Context, open *chunker, chunks chan<- *chunk, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	rows, readAt, err := p.rowsByKey(ctx, keys)
	if err != nil {
		return err
	}
	e := &entry{}
	was := standing{outcome: pending}
	var anew []source.Row
	for _, key := range keys {
		if row, there := rows[key]; there {
			anew = append(anew, row)
			continue
		}
		e.moves.add(p.doubts.passed[key], was, standing{checkpoint.Unknown, reasonInDoubt})
		delete(p.doubts.passed, key)
	}
	rulings, err := p.judgeAgain(ctx, anew)
	if err != nil {
		return err
	}
	for i := range rulings {
		p.note(e, &rulings[i], p.doubts.passed[rulings[i].key], was)
		delete(p.doubts.passed, rulings[i].key)
	}
	return p.joinAll(ctx, open, chunks, e, rulings, readAt)
}
