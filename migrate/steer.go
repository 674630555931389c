package migrate

import (
	"context"
	"strings"
	"time"
)

// steerEvery is how often a worker looks at what operators and other workers
// ask of it.
const steerEvery = 2 * time.Second

// Budget splits a destination, as connect.Client names it, into the two parts
// that a budget of calls belongs to: host with port, and team.
func Budget(destination string) (host, team string) {
	host, team, _ = strings.Cut(destination, " ")
	return host, team
}

// steering keeps the pace to what is asked of it, until ctx ends. What cannot be
// read leaves things as they are: the lease and the recorder tell of a database
// that is away.
func (p *pass) steering(ctx context.Context) {
	for sleep(ctx, steerEvery) == nil {
		_ = p.steerOnce(ctx)
	}
}

// steerOnce reads what is asked once and does it.
func (p *pass) steerOnce(ctx context.Context) error {
	host, team := Budget(p.o.Destination)
	s, err := p.store.Steering(ctx, p.migration.ID, host, team, p.o.Target["destination"])
	if ctx.Err() == nil {
		p.o.Watch.heard(theCheckpoint, err == nil)
	}
	if err != nil {
		return err
	}
	if p.pace.steer(s) {
		rpm, _ := p.pace.state()
		if s.Paused {
			p.log.Warn().Msg("paused by an operator: no calls are made until `tokenmigrate resume`")
		}
		p.log.Info().Bool("paused", s.Paused).Float64("requests_per_minute", rpm).Int("workers", s.Workers).Msg("steered: the pace follows the operator and the other workers")
	}
	return nil
}

// shareBudget makes the pace take its calls from the budget in the checkpoint
// while there are other workers. If there are at the start, these need a moment
// to notice this one.
func (p *pass) shareBudget(ctx context.Context) error {
	host, team := Budget(p.o.Destination)
	p.pace.slot = func(ctx context.Context, every time.Duration) (wait time.Duration, err error) {
		err = p.wait.database(ctx, theCheckpoint, func() (err error) {
			wait, err = p.store.TakeSlot(ctx, host, team, every)
			return err
		})
		return wait, err
	}
	if err := p.wait.database(ctx, theCheckpoint, func() error { return p.steerOnce(ctx) }); err != nil {
		return err
	}
	p.pace.mu.Lock()
	shared := p.pace.shared
	p.pace.mu.Unlock()
	if !shared {
		return nil
	}
	p.log.Info().Stringer("wait", 2*steerEvery).Msg("other workers share the budget; waiting until they have heard of this one")
	defer p.wait.waiting("pace")()
	return sleep(ctx, 2*steerEvery)
}

// pauseOthers tells the other workers of a throttling.
func (p *pass) pauseOthers(d time.Duration, reason string) error {
	host, team := Budget(p.o.Destination)
	return p.wait.database(p.cut, theCheckpoint, func() error {
		return p.store.PauseAll(p.cut, host, team, d, reason)
	})
}
