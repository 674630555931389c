package migrate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"tokenmigrate/checkpoint"
)

// leases is where the right to work on a shard is had.
type leases interface {
	Acquire(ctx context.Context, migration int64, shard, shards int, holder string, dead func(holder string) bool) (checkpoint.Lease, error)
	Renew(ctx context.Context, l checkpoint.Lease) error
	Release(ctx context.Context, l checkpoint.Lease) error
}

// tenure is a lease, as its holder sees it: valid until its own monotonic clock
// says otherwise. It is safe for concurrent use.
type tenure struct {
	lease checkpoint.Lease
	now   func() time.Time
	mu    sync.Mutex
	until time.Time
}

const (
	renewEvery   = checkpoint.LeaseTTL / 3
	renewTimeout = 5 * time.Second
)

// valid reports whether calls may be made.
func (t *tenure) valid() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now().Before(t.until)
}

// extend notes a renewal that was asked for at start: the lease lasts from some
// moment after that, so counting from start is on the safe side.
func (t *tenure) extend(start time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.until = start.Add(checkpoint.LeaseTTL)
}

// wait returns when calls may be made.
func (t *tenure) wait(ctx context.Context, p *patience) error {
	if t.valid() {
		return nil
	}
	defer p.waiting("lease")()
	for !t.valid() {
		if err := sleep(ctx, renewTimeout/20); err != nil {
			return err
		}
	}
	return nil
}

// acquire takes the shard's lease, waiting for another holder's for at most
// heldWait, and for those under another number of shards until they lapse or one
// is renewed, which tells that its worker is alive.
//
// Errors: one that wraps ErrHeld; ErrConfig where the number of shards is another
// than that of workers that are alive.
func acquire(ctx context.Context, store leases, migration int64, o *Options) (*tenure, error) {
	deadline := o.now().Add(heldWait)
	var told time.Time
	var others adoption
	for {
		start := o.now()
		lease, err := store.Acquire(ctx, migration, o.Shard, o.Shards, o.Holder, o.Dead)
		if err == nil {
			o.Watch.waits("")
			t := &tenure{lease: lease, now: o.now}
			t.extend(start)
			return t, nil
		}
		var held *checkpoint.HeldError
		var divided *checkpoint.ShardsError
		wait := time.Duration(0)
		tell := told.IsZero() || o.now().Sub(told) >= progressEvery
		switch {
		case errors.As(err, &divided):
			if wait = divided.Expires; !others.lapsing(o.now(), divided.Expires) {
				return nil, fmt.Errorf("%w: %w; start this worker with --shard I/%d, or stop those first", ErrConfig, err, divided.Shards)
			}
			if tell {
				o.Log.Warn().Str("waiting", "lease").Str("holder", divided.Holder).Int("shards", divided.Shards).Stringer("left", wait.Round(time.Second)).
					Msg("a lease under another number of shards has not lapsed; waiting whether its worker is alive")
			}
		case errors.As(err, &held):
			if wait = held.Expires; o.now().After(deadline) {
				return nil, fmt.Errorf("%w: %w", ErrHeld, err)
			}
			if tell {
				o.Log.Warn().Str("waiting", "lease").Str("holder", held.Holder).Stringer("left", deadline.Sub(o.now()).Round(time.Second)).
					Msg("another worker holds this shard; waiting for it to end. See `status` for what it does, or stop this one")
			}
		default:
			return nil, err
		}
		if tell {
			told = o.now()
		}
		o.Watch.waits("lease")
		if err := sleep(ctx, min(max(wait, 100*time.Millisecond), 2*time.Second)); err != nil {
			return nil, err
		}
	}
}

// adoption watches the last lease under another number of shards, as one that
// waits for it to lapse sees it.
type adoption struct {
	until time.Time // when it lapses, as it was first seen
}

// lapsing notes that it lapses in left, and reports whether that may be waited
// for: false means that it was renewed, so that somebody is alive.
func (a *adoption) lapsing(now time.Time, left time.Duration) bool {
	if a.until.IsZero() {
		a.until = now.Add(left)
	}
	return now.Add(left).Before(a.until.Add(2 * time.Second))
}

// keep renews the lease until ctx ends. While the database is away it keeps
// trying: a lease that lapsed and that nobody took may be renewed.
//
// Errors: checkpoint.ErrLeaseLost.
func (t *tenure) keep(ctx context.Context, store leases, log zerolog.Logger) error {
	var told time.Time
	for {
		every := renewEvery
		start := t.now()
		one, cancel := context.WithTimeout(ctx, renewTimeout)
		err := store.Renew(one, t.lease)
		cancel()
		switch {
		case err == nil:
			t.extend(start)
			told = time.Time{}
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, checkpoint.ErrLeaseLost):
			return err
		default:
			if told.IsZero() || t.now().Sub(told) >= progressEvery {
				told = t.now()
				log.Warn().Err(err).Msg("the lease could not be renewed; trying again each second")
			}
			every = time.Second
		}
		if sleep(ctx, every) != nil {
			return nil
		}
	}
}
