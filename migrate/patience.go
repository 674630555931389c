package migrate

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"tokenmigrate/checkpoint/pgerr"
)

// patience waits for databases that are away, and keeps in words what the run
// is waiting for. It is safe for concurrent use.
type patience struct {
	limit  time.Duration // of one wait; 0: do not wait
	waited func(cause string, seconds float64)
	heard  func(name string, answered bool) // told of databases; nil: nobody wants to know
	log    zerolog.Logger

	mu     sync.Mutex
	causes []*string // what is waited for now, the newest last
}

// what returns what the run waits for, the newest of several causes, or "".
func (p *patience) what() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.causes); n > 0 {
		return *p.causes[n-1]
	}
	return ""
}

// waiting notes a cause until the returned function is called.
func (p *patience) waiting(cause string) (done func()) {
	start := time.Now()
	p.mu.Lock()
	p.causes = append(p.causes, &cause)
	p.mu.Unlock()
	return func() {
		p.mu.Lock()
		p.causes = slices.DeleteFunc(p.causes, func(c *string) bool { return c == &cause })
		p.mu.Unlock()
		p.waited(cause, time.Since(start).Seconds())
	}
}

// database calls do until it succeeds, fails for good, or has failed for as long
// as limit allows. do must be safe to repeat.
//
// Errors: do's own where trying again is useless; one that wraps ErrUnavailable;
// ctx's.
func (p *patience) database(ctx context.Context, name string, do func() error) error {
	err := do()
	if !away(err) {
		p.tell(name, err == nil)
		return err
	}
	p.tell(name, false)
	defer p.waiting(name)()
	since := time.Now()
	p.log.Warn().Err(err).Str("waiting", name).Stringer("limit", p.limit).Msg("the database is away; waiting for it")
	for n := 1; time.Since(since) < p.limit; n++ {
		if err := sleep(ctx, backoff(n)/5); err != nil {
			return err
		}
		if err = do(); !away(err) {
			if err == nil {
				p.tell(name, true)
				p.log.Info().Stringer("took", time.Since(since)).Str("waiting", name).Msg("the database is back")
			}
			return err
		}
	}
	return fmt.Errorf("%w: %s, for %s: %w", ErrUnavailable, name, time.Since(since).Round(time.Second), err)
}

func (p *patience) tell(name string, answered bool) {
	if p.heard != nil {
		p.heard(name, answered)
	}
}

// away tells that a database which worked before may work again: what stops a
// run at its start (a standby, a password that does not fit) is in its middle
// more likely a failover or a rotation.
func away(err error) bool {
	switch pgerr.CodeOf(err) {
	case "25006", "28000", "28P01":
		return true
	}
	return pgerr.ClassOf(err) == pgerr.Again
}
