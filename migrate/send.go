package migrate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/connect"
	"tokenmigrate/migrate/report"
)

// send takes chunks until there are no more or ctx ends, and carries each to
// its end. Pieces of a chunk wait behind each other, so that a piece that keeps
// failing is tried beside others that succeed.
func (p *pass) send(ctx context.Context, chunks <-chan *chunk) error {
	for {
		var c *chunk
		select {
		case c = <-chunks:
		case <-ctx.Done():
			return ctx.Err()
		}
		if c == nil {
			return nil
		}
		for queue := []*chunk{c}; len(queue) > 0; {
			more, err := p.attempt(ctx, queue[0])
			if err != nil {
				return err
			}
			queue = append(queue[1:], more...)
		}
	}
}

// attempt makes one call for a chunk, in the order that makes a crash safe:
// permit, rows read again if old, intent committed, call, then outcomes, counts
// and the removal of the intent in one transaction. It returns what is left to
// be sent of the chunk. ctx ends it up to the moment before the intent; from
// there on only p.cut does.
func (p *pass) attempt(ctx context.Context, c *chunk) ([]*chunk, error) {
	defer p.sending.take(c)()
	if p.refused(c.connector) {
		p.leave(c)
		return nil, nil
	}
	if n := p.ceiling(); len(c.items) > n {
		return c.halve(), nil
	}
	if d := p.health.delay(); d > 0 {
		done := p.wait.waiting("endpoint")
		err := sleep(ctx, d)
		done()
		if err != nil {
			return nil, err
		}
	}
	if err := p.permit(ctx); err != nil {
		return nil, err
	}
	p.ledger.wire(func(w *report.Calls) { w.Allowed++ })
	if err := p.tenure.wait(ctx, p.wait); err != nil {
		return nil, err
	}
	if p.old(c) || c.contested() {
		fresh, extra, err := p.refresh(ctx, c)
		if err != nil {
			return nil, err
		}
		if fresh == nil {
			p.waste()
			return extra, nil
		}
		if p.old(fresh) && len(fresh.items) > 1 { // so many rows of a slow cipher are never young
			p.waste()
			return append(fresh.halve(), extra...), nil
		}
		// The permit is spent on the chunk; what left it is sent with another.
		more, err := p.call(ctx, fresh)
		return append(extra, more...), err
	}
	return p.call(ctx, c)
}

// call commits the intent, makes the call and deals with its answer. ctx ends
// only what it waits for after the answer.
func (p *pass) call(ctx context.Context, c *chunk) ([]*chunk, error) {
	id := uuid.New()
	intent := checkpoint.Intent{ID: id, Connector: c.connector, Tokens: make([]checkpoint.Sent, len(c.items)), Settle: p.o.CallTimeout + settleMargin,
		Exclusive: p.o.Shards > 1 && !p.o.Policy.SendDuplicates}
	for i, it := range c.items {
		intent.Tokens[i] = it.asSent()
	}
	p.step("before_intent", c)
	err := p.commit(&entry{intent: &intent})
	if claimed := new(claimedError); errors.As(err, &claimed) {
		c.contest(claimed.keys)
		p.waste()
		return []*chunk{c}, nil
	}
	if err != nil {
		return nil, err
	}
	p.step("after_intent", c)
	if !p.tenure.valid() || p.old(c) || ctx.Err() != nil {
		// The intent took long to write (a paused machine, a locked table): the lease
		// may have lapsed, the rows may have changed, or the run drains. The call is
		// not made; if the lease is renewed the chunk is tried again.
		p.waste()
		return []*chunk{c}, p.withdraw(id, c)
	}
	p.countCall(c, 1)
	tokens := c.tokens()
	used := p.o.Credential()
	start := p.now()
	answer, err := p.importer.Import(p.cut, c.connector, tokens)
	p.moved()
	p.step("after_call", c)
	v := judgeAnswer(tokens, answer, err)
	if !v.tells(len(tokens)) {
		p.waste()
	}
	p.o.Watch.called(Call{Tokens: len(c.items), Answer: answerLabel(v.status, err), Took: p.now().Sub(start)})
	p.log.Debug().Str("connector", c.connector).Int("tokens", len(c.items)).Stringer("call", id).
		Str("answer", v.status).Str("said", v.words).Stringer("took", p.now().Sub(start)).Msg("import call")
	if v.action == credential {
		p.health.answered()
		if err := p.withdraw(id, c); err != nil {
			return nil, err
		}
		return []*chunk{c}, p.awaitCredential(ctx, used, v.words)
	}
	return p.handle(c, id, v)
}

// waste counts a call that the pace allowed and that brought no outcome.
func (p *pass) waste() { p.ledger.wire(func(w *report.Calls) { w.Wasted++ }) }

// handle does what a verdict asks for. It returns what is left to be sent.
func (p *pass) handle(c *chunk, id uuid.UUID, v verdict) ([]*chunk, error) {
	if v.mends && p.health.count() > 0 { // it was good before: a clock that jumped, a renewal
		v.action = notMade
	}
	if v.status == statusNotSent {
		p.countCall(c, -1)
	}
	switch v.action {
	case notMade, doubt, misconfigure:
	default:
		p.health.answered()
	}
	switch v.action {
	case record:
		p.pace.admitted()
		return p.recordAnswer(c, id, v.match)
	case halve:
		p.pace.admitted()
		return p.split(c, id, v)
	case tooLarge:
		p.pace.admitted()
		return p.splitTooLarge(c, id, v)
	case throttle:
		p.ledger.wire(func(w *report.Calls) { w.Throttled++ })
		pause, shared := p.pace.throttled(v.wait, v.said)
		rpm, _ := p.pace.state()
		p.log.Warn().Str("connector", c.connector).Str("waiting", "throttled").Stringer("pause", pause).
			Float64("requests_per_minute", rpm).Str("said", v.words).Msg("the endpoint asks to wait; all senders pause")
		if shared {
			if err := p.pauseOthers(pause, v.words); err != nil {
				return nil, err
			}
		}
		return []*chunk{c}, p.withdraw(id, c)
	case notMade:
		if err := p.withdraw(id, c); err != nil {
			return nil, err
		}
		return []*chunk{c}, p.unanswered(c, v, p.health.failed(p.now()))
	case doubt:
		return p.inDoubt(c, id, v)
	case refuseOne:
		p.refuse(c.connector, v.words)
		p.leave(c)
		return nil, p.withdraw(id, c)
	case misconfigure:
		return nil, errors.Join(p.withdraw(id, c), fmt.Errorf("%w: %s", ErrConfig, v.words))
	}
	return nil, errors.Join(p.withdraw(id, c), fmt.Errorf("%w: %s", ErrRefused, v.words))
}

// countCall counts a call for a chunk, or with -1 takes that back.
func (p *pass) countCall(c *chunk, n int64) {
	p.ledger.wire(func(w *report.Calls) {
		w.Made += n
		w.Tokens += n * int64(len(c.items))
		if c.full && n > 0 { // how its permit was used, whatever came of it
			w.Full++
		}
		for _, it := range c.items {
			if it.sent {
				w.ResentTokens += n
			}
		}
	})
}

// split isolates what the endpoint refuses: a chunk is halved, and a token that
// stands alone is rejected with what the endpoint said.
func (p *pass) split(c *chunk, id uuid.UUID, v verdict) ([]*chunk, error) {
	if len(c.items) > 1 {
		p.ledger.wire(func(w *report.Calls) { w.Split++ })
		p.log.Debug().Str("connector", c.connector).Int("tokens", len(c.items)).Str("said", v.words).Msg("the chunk is refused; halving it")
		return c.halve(), p.withdraw(id, c)
	}
	if err := p.endAll(c, id, checkpoint.Failed, reasonRejected, v.words); err != nil {
		return nil, err
	}
	if p.judged(c.connector, true) {
		return nil, p.tooMuchRefused(c.connector)
	}
	return nil, nil
}

// splitTooLarge halves a chunk that is too large for the endpoint, and keeps
// later chunks to that size. Of a chunk's pieces only two halves that are both
// too large prove that the size is to blame, and not one large token.
func (p *pass) splitTooLarge(c *chunk, id uuid.UUID, v verdict) ([]*chunk, error) {
	halves, err := p.split(c, id, v)
	if err != nil || len(halves) == 0 {
		return nil, err
	}
	if c.tooLarge != nil {
		*c.tooLarge++
	}
	if c.tooLarge == nil || *c.tooLarge == 2 {
		if err := p.lowerCeiling(len(c.items) / 2); err != nil {
			return nil, err
		}
	}
	both := new(int)
	for _, half := range halves {
		half.tooLarge = both
	}
	return halves, nil
}

// inDoubt deals with a call that may have been made: its tokens are recorded as
// unknown first, and sent again only if the policy says so. From the third lost
// answer on the chunk is halved, in case one of its tokens is the cause. Answers
// lost while no other call succeeds do not use attempts up, and halve only each
// third time: then it is probably not the chunk, but the endpoint.
func (p *pass) inDoubt(c *chunk, id uuid.UUID, v verdict) ([]*chunk, error) {
	now := p.now()
	down := p.health.failed(now)
	c.lose(p.health.count())
	var again, held []*item
	for _, it := range c.items {
		if mayResend(it, &p.o.Policy, now) {
			again = append(again, it)
		} else {
			held = append(held, it)
		}
	}
	outcome, reason := checkpoint.Unknown, reasonInDoubt
	if len(c.items) == 1 && len(again) == 1 && c.spent(p.o.MaxAttempts, down) {
		outcome, reason, again, down = checkpoint.Failed, reasonUnavailable, nil, false
		p.health.answered()
	}
	if err := p.endAll(c, id, outcome, reason, v.words); err != nil {
		return nil, err
	}
	p.disclaim(held)
	if err := p.unanswered(c, v, down); err != nil || len(again) == 0 {
		return nil, err
	}
	p.ledger.wire(func(w *report.Calls) { w.Retried++ })
	rest := c.with(again)
	if len(again) > 1 && c.suspect(p.o.MaxAttempts) {
		p.ledger.wire(func(w *report.Calls) { w.Split++ })
		return rest.halve(), nil
	}
	return []*chunk{rest}, nil
}

// unanswered tells of a call without an answer. It fails when the endpoint has
// been down for too long.
func (p *pass) unanswered(c *chunk, v verdict, down bool) error {
	p.log.Warn().Str("connector", c.connector).Int("tokens", len(c.items)).Str("answer", v.status).Str("said", v.words).
		Msg("a call told nothing of its tokens")
	if down {
		return fmt.Errorf("%w: no call was answered for %s; the last one: %s; see destination.url, and whether this machine reaches it (network, proxy), then run again", ErrUnavailable, p.o.OutageWait, strings.TrimRight(v.words, "."))
	}
	return nil
}

// permit waits for the pace. Time in which nobody may call says nothing about
// the endpoint's health.
func (p *pass) permit(ctx context.Context) error {
	_, held := p.pace.state()
	err := p.pace.permit(ctx)
	if held != "" {
		p.health.restart()
	}
	return err
}

// leave lets go of a chunk that is not sent: its tokens stay as they are counted.
func (p *pass) leave(c *chunk) {
	for _, it := range c.items {
		if it.standing.outcome == pending {
			p.letGo.Add(1)
		}
	}
	p.disclaim(c.items)
}

// step tells the crash tests where a call is.
func (p *pass) step(name string, c *chunk) {
	if p.o.Step != nil {
		p.o.Step(name, len(c.items))
	}
}

// tooMuchRefused is the breaker's error.
func (p *pass) tooMuchRefused(connector string) error {
	p.mu.Lock()
	refused := p.breakers[connector].words()
	p.mu.Unlock()
	return fmt.Errorf("%w: %s refused %s, and %.0f%% end the run (policy.stop_after_failures); see in `failures` which, and whether connector and environment are those of the tokens", ErrRefused, connector, refused, p.o.Policy.StopAfterFailures*100)
}

// awaitCredential waits until another credential is there than the one that a
// call was refused with.
func (p *pass) awaitCredential(ctx context.Context, used connect.Secret, words string) error {
	if !p.o.CredentialChanges {
		return fmt.Errorf("%w the credential: %s; give destination.token a credential that may import", ErrRefused, strings.TrimRight(words, "."))
	}
	defer p.wait.waiting("credential")()
	p.log.Warn().Str("said", words).Stringer("limit", credentialWait).Msg("the credential is refused; waiting for another one in its file")
	for since := p.now(); p.o.Credential().Reveal() == used.Reveal(); {
		if p.now().Sub(since) >= credentialWait {
			return fmt.Errorf("%w the credential: %s; its file did not change within %s", ErrRefused, words, credentialWait)
		}
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
	}
	return nil
}

// lowerCeiling keeps, for this run and the migration, that no call may carry
// more than n tokens.
func (p *pass) lowerCeiling(n int) error {
	p.mu.Lock()
	lower := n < p.maxTokens
	if lower {
		p.maxTokens = n
	}
	p.mu.Unlock()
	if !lower {
		return nil
	}
	p.log.Warn().Int("chunk_tokens", n).Msg("the endpoint takes no larger chunks; keeping to that size for this migration")
	return p.wait.database(p.cut, theCheckpoint, func() error {
		return p.store.LowerCeiling(p.cut, p.migration.ID, n)
	})
}
