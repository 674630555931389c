package migrate

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"tokenmigrate/checkpoint"
)

// commit has an entry recorded, and counts how long that takes as waited for: a slow
// checkpoint is then told from the pace.
func (p *pass) commit(e *entry) error {
	start := p.now()
	err := p.recorder.commit(e)
	p.ledger.waited("recording", p.now().Sub(start).Seconds())
	return err
}

// withdraw removes the intent of a call that was certainly not made, or that
// was refused as a whole.
func (p *pass) withdraw(id uuid.UUID, c *chunk) error {
	return p.commit(&entry{answer: &checkpoint.Answer{Call: id}})
}

// end records how items ended and removes the intent.
func (p *pass) end(c *chunk, id uuid.UUID, endings []checkpoint.Ending) error {
	e := p.ending(c, id, endings)
	return p.ended(c, e, p.commit(e))
}

// endSoon is end that does not wait for the transaction: what the sender does next is
// recorded by the same one, or a later. What goes wrong ends the walk.
func (p *pass) endSoon(c *chunk, id uuid.UUID, endings []checkpoint.Ending) error {
	e := p.ending(c, id, endings)
	start := p.now()
	err := p.recorder.submit(e)
	p.ledger.waited("recording", p.now().Sub(start).Seconds())
	if err != nil {
		return p.ended(c, e, err)
	}
	p.walking.Go(func() error { return p.ended(c, e, <-e.done) })
	return nil
}

// ending returns what is to be recorded of how items ended.
func (p *pass) ending(c *chunk, id uuid.UUID, endings []checkpoint.Ending) *entry {
	e := &entry{answer: &checkpoint.Answer{Call: id, Endings: endings}}
	for i, it := range c.items {
		to := standing{endings[i].Outcome, endings[i].Reason}
		e.moves.add(it.place(), it.standing, to)
	}
	p.step("before_record", c)
	return e
}

// ended deals with how an entry of ending was recorded. Items that ended give up their
// claims, now that the checkpoint tells of them; unknown ones keep them, since they may
// be sent again: a row that takes the place of a vanished one must not get in between.
func (p *pass) ended(c *chunk, e *entry, err error) error {
	p.moved()
	p.step("after_record", c)
	endings := e.answer.Endings
	if err == nil && slices.ContainsFunc(endings, func(e checkpoint.Ending) bool { return e.Outcome == checkpoint.Imported }) {
		p.o.Watch.succeeded(p.now())
	}
	if err != nil && !errors.Is(err, errSettled) {
		// The intent stands (cut short, or a checkpoint that takes nothing any more):
		// the next run finds these in doubt.
		for i := range e.moves {
			e.moves[i].to = standing{checkpoint.Unknown, reasonInDoubt}
		}
		p.ledger.apply(e.moves, false)
		return err
	}
	for i, it := range c.items {
		it.standing, it.sent, it.known = standing{endings[i].Outcome, endings[i].Reason}, true, true
		if err != nil { // that is what the other worker made of it
			it.standing = standing{checkpoint.Unknown, reasonInDoubt}
		}
		p.log.Trace().Str("key", it.key).Str("outcome", string(it.standing.outcome)).Str("reason", it.standing.reason).Msg("row")
		if it.standing.outcome != checkpoint.Unknown {
			p.judge.release(it.identity, it.key)
		}
	}
	if err != nil { // another worker has the shard; the lease says so soon
		return fmt.Errorf("%w: %w", checkpoint.ErrLeaseLost, err)
	}
	return nil
}

// endAll records the same ending for all of a chunk's items.
func (p *pass) endAll(c *chunk, id uuid.UUID, outcome checkpoint.Outcome, reason, detail string) error {
	endings := make([]checkpoint.Ending, len(c.items))
	for i, it := range c.items {
		endings[i] = checkpoint.Ending{Sent: it.asSent(), Outcome: outcome, Reason: reason, Detail: detail}
	}
	return p.end(c, id, endings)
}

// recordAnswer records what an answer says of each token, and returns those that
// it did not name, to be sent again.
func (p *pass) recordAnswer(c *chunk, id uuid.UUID, m matching) ([]*chunk, error) {
	endings := make([]checkpoint.Ending, len(c.items))
	var unnamed []*item
	open, news := false, false
	for i, it := range c.items {
		news = news || !it.sent
		e := checkpoint.Ending{Sent: it.asSent(), Succeeded: m.succeeded[i]}
		switch said := m.succeeded[i]; {
		case said == nil:
			e.Outcome, e.Reason = checkpoint.Unknown, reasonUnmatched
			e.Detail = "the endpoint answered, and did not say what became of this token"
			unnamed = append(unnamed, it)
		case *said:
			e.Outcome = checkpoint.Imported
		default:
			e.Outcome, e.Reason = checkpoint.Failed, reasonRefused
			e.Detail = refusedDetail
		}
		endings[i] = e
		if m.succeeded[i] != nil {
			open = p.judged(c.connector, !*m.succeeded[i]) || open
		}
	}
	if m.named > 0 {
		p.named.Add(1)
	}
	if len(unnamed) == 0 && !open {
		return nil, p.endSoon(c, id, endings)
	}
	if err := p.end(c, id, endings); err != nil {
		return nil, err
	}
	if open {
		return nil, p.tooMuchRefused(c.connector)
	}
	rest, err := p.askAgain(c, unnamed, m.named == 0, news)
	if len(rest) == 0 {
		p.disclaim(unnamed)
	}
	return rest, err
}

// disclaim gives up the claims of items that are not sent again.
func (p *pass) disclaim(items []*item) {
	for _, it := range items {
		p.judge.release(it.identity, it.key)
	}
}

// maxSilent is how many answers in a row may name none of a chunk's tokens.
const maxSilent = 2

// askAgain returns the tokens that an answer did not name, to be sent again, as
// long as further answers name some of them; so an endpoint that answers for only
// a part of each call is done with in time. After maxSilent answers in a row that
// named none they stay unmatched. silent tells that this one did not; news, that
// some of its tokens were sent for the first time: an endpoint that is silent
// about these, and has named no token since, names none at all, which is an error.
// Of what earlier runs left unmatched nothing of the kind follows.
func (p *pass) askAgain(c *chunk, unnamed []*item, silent, news bool) ([]*chunk, error) {
	if len(unnamed) == 0 {
		return nil, nil
	}
	groups := apart(unnamed)
	next := *c
	next.silent, next.heard = 0, 0
	if silent && len(groups) == 1 {
		next.silent = c.silent + 1
		switch {
		case len(c.items) > 1 && (news || c.silent > 0) && c.heard == p.named.Load():
			return nil, fmt.Errorf("%w: the answer to a call of %d tokens named none of them, so that no outcome can be told; the tokens of this call are unknown (unmatched)", ErrRefused, len(c.items))
		case next.silent == maxSilent:
			return nil, nil
		case news:
			next.heard = p.named.Load()
		default:
			next.heard = -1
		}
	}
	p.log.Warn().Str("connector", c.connector).Int("tokens", len(unnamed)).Msg("the answer did not name every token; sending the others again")
	var rest []*chunk
	for _, group := range groups {
		rest = append(rest, next.with(group))
	}
	return rest, nil
}
