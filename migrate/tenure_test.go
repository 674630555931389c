package migrate

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"tokenmigrate/checkpoint"
)

// leaseBook answers as function fields say; a nil field always succeeds.
type leaseBook struct {
	acquire  func() error
	renew    func(ctx context.Context) error
	renewals []time.Time
}

func (b *leaseBook) Acquire(_ context.Context, migration int64, shard, _ int, holder string, _ func(string) bool) (checkpoint.Lease, error) {
	if b.acquire != nil {
		if err := b.acquire(); err != nil {
			return checkpoint.Lease{}, err
		}
	}
	return checkpoint.Lease{Migration: migration, Shard: shard, Holder: holder, Epoch: 1}, nil
}

func (b *leaseBook) Renew(ctx context.Context, _ checkpoint.Lease) error {
	b.renewals = append(b.renewals, time.Now())
	if b.renew != nil {
		return b.renew(ctx)
	}
	return nil
}

func (b *leaseBook) Release(context.Context, checkpoint.Lease) error { return nil }

func TestTenure_IsValidForTheLeaseFromBeforeItWasAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := &leaseBook{acquire: func() error { time.Sleep(4 * time.Second); return nil }}
		tn, err := acquire(t.Context(), slow, 1, &Options{Shard: 2, Shards: 3, Holder: "me", Log: zerolog.Nop(), now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		if want := (checkpoint.Lease{Migration: 1, Shard: 2, Holder: "me", Epoch: 1}); tn.lease != want {
			t.Errorf("got lease %+v, want %+v", tn.lease, want)
		}
		time.Sleep(checkpoint.LeaseTTL - 4*time.Second - time.Nanosecond)
		if !tn.valid() {
			t.Error("not valid just before the lease lapses")
		}
		time.Sleep(time.Nanosecond)
		if tn.valid() {
			t.Error("still valid a whole lease after it was asked for")
		}
	})
}

func TestAcquire_WaitsForTheHolder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lapses time.Duration
		want   bool
	}{{0, true}, {29 * time.Second, true}, {time.Minute, true}, {time.Hour, false}} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			book := &leaseBook{acquire: func() error {
				if left := c.lapses - time.Since(start); left > 0 {
					return &checkpoint.HeldError{Holder: "another", Expires: left}
				}
				return nil
			}}
			_, err := acquire(t.Context(), book, 1, &Options{Log: zerolog.Nop(), now: time.Now})
			took := time.Since(start)
			if c.want && (err != nil || took > c.lapses+2*time.Second) {
				t.Errorf("lapses in %v: got error %v after %v, want the lease soon after", c.lapses, err, took)
			}
			var held *checkpoint.HeldError
			if !c.want && (!errors.Is(err, ErrHeld) || !errors.As(err, &held) || took < 2*time.Minute || took > 2*time.Minute+5*time.Second) {
				t.Errorf("held on: got error %v after %v, want ErrHeld after two minutes", err, took)
			}
		})
	}
}

func TestAcquire_PassesOnErrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if _, err := acquire(t.Context(), &leaseBook{acquire: func() error { return stopped }}, 1, &Options{Log: zerolog.Nop(), now: time.Now}); !errors.Is(err, stopped) || time.Since(start) != 0 {
			t.Errorf("got error %v after %v, want %v at once", err, time.Since(start), stopped)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		held := func() error { return &checkpoint.HeldError{Expires: time.Hour} }
		if _, err := acquire(ctx, &leaseBook{acquire: held}, 1, &Options{Log: zerolog.Nop(), now: time.Now}); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 10*time.Second {
			t.Errorf("got error %v after %v, want %v after 10s", err, time.Since(start), context.DeadlineExceeded)
		}
	})
}

func TestTenure_KeepsItsLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		book := &leaseBook{}
		tn := &tenure{now: time.Now}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		done := make(chan error)
		go func() { done <- tn.keep(ctx, book, zerolog.Nop()) }()
		synctest.Wait()
		for range 59 {
			time.Sleep(10 * time.Second)
			if !tn.valid() {
				t.Fatal("the lease lapsed while it was kept")
			}
		}
		if err := <-done; err != nil {
			t.Errorf("got error %v at the end, want none", err)
		}
		if n := len(book.renewals); n < 55 || n > 65 {
			t.Errorf("got %d renewals in ten minutes, want about 60", n)
		}
	})
}

func TestTenure_SurvivesADatabaseThatIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		hangs := true
		book := &leaseBook{renew: func(ctx context.Context) error {
			if d := time.Since(start); d > 15*time.Second && d < 2*time.Minute {
				if hangs = !hangs; hangs { // by turns it hangs or fails
					<-ctx.Done()
					return ctx.Err()
				}
				return again
			}
			return nil
		}}
		var said bytes.Buffer
		tn := &tenure{now: time.Now}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- tn.keep(ctx, book, zerolog.New(&said)) }()
		time.Sleep(time.Minute)
		if tn.valid() {
			t.Error("valid although the lease was not renewed for longer than it lasts")
		}
		p, waited := testPatience(0)
		if err := tn.wait(ctx, p); err != nil {
			t.Errorf("wait: %v", err)
		}
		if took := time.Since(start); took < 2*time.Minute || took > 2*time.Minute+10*time.Second || !tn.valid() {
			t.Errorf("valid again (%t) after %v, want soon after two minutes", tn.valid(), took)
		}
		if waited["lease"] == 0 {
			t.Error("the wait for the lease was not counted")
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("got error %v, want none", err)
		}
		if lines := bytes.Count(said.Bytes(), []byte("\n")); lines < 3 || lines > 8 {
			t.Errorf("told of it %d times, want at once and every 15 s:\n%s", lines, said.String())
		}
	})
}

func TestTenure_TellsALostLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		book := &leaseBook{renew: func(context.Context) error { return checkpoint.ErrLeaseLost }}
		if err := (&tenure{now: time.Now}).keep(t.Context(), book, zerolog.Nop()); !errors.Is(err, checkpoint.ErrLeaseLost) {
			t.Errorf("got error %v, want %v", err, checkpoint.ErrLeaseLost)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		p, _ := testPatience(0)
		if err := (&tenure{now: time.Now}).wait(ctx, p); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("wait: got error %v, want %v", err, context.DeadlineExceeded)
		}
	})
}
