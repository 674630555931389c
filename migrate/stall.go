package migrate

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// ErrStalled: nothing moved for stallAfter, though something could have. It is a bug
// or a machine in trouble; what is recorded is true, and the next run goes on from it.
var ErrStalled = errors.New("the run stalled")

const (
	// stallAfter is how long nothing may move while nothing is waited for: longer
	// than any statement or wait of this program lasts. Of calls that may take long
	// it is two of them, one after the other.
	stallAfter = 10 * time.Minute
	// stallLook is the time between two looks.
	stallLook = 10 * time.Second
	// stackBytes bounds what is logged of the goroutines.
	stackBytes = 256 << 10
)

// moved notes progress: rows were read or judged, a call was answered, an outcome
// was recorded.
func (p *pass) moved() {
	p.lastMoved.Store(p.now().UnixNano())
	p.movements.Add(1)
}

// watchdog ends a run that makes no progress where it could: it returns ErrStalled,
// which ends the other goroutines, cuts calls short, and tells what each of them was
// at. Those that do not end even then are the business of Options.Stalled.
func (p *pass) watchdog(ctx context.Context) error {
	limit := p.o.StallAfter
	if limit == 0 {
		limit = max(stallAfter, 2*p.o.CallTimeout)
	}
	p.moved()
	// Looks are counted and no clock is read: where the clock jumps, or the machine
	// stood still for an hour, there was nothing to be seen in between.
	look := min(stallLook, limit/4)
	seen, idle := p.movements.Load(), time.Duration(0)
	for sleep(ctx, look) == nil {
		if p.mayWait() {
			p.moved()
		}
		if now := p.movements.Load(); now != seen {
			seen, idle = now, 0
			continue
		}
		if idle += look; idle < limit {
			continue
		}
		err := fmt.Errorf("%w: nothing moved for %s, and nothing was waited for; the log has the state of each goroutine. What is recorded is true: the same command goes on from here", ErrStalled, idle.Round(time.Second))
		p.log.Error().Str("goroutines", p.goroutines()).Stringer("idle", idle.Round(time.Second)).Msg("the run stalled; ending it")
		if p.o.Stalled != nil {
			p.o.Stalled(err)
		}
		p.cutShort()
		return err
	}
	return nil
}

// mayWait reports whether nothing has to move now: the run waits for something that
// it knows, be it only the next permit of a slow pace.
func (p *pass) mayWait() bool {
	if p.wait.what() != "" {
		return true
	}
	_, held := p.pace.state()
	return held != "" || p.pace.asleep()
}

// goroutines returns what each goroutine is at. Arguments are shown as machine
// words, never as texts, so that no credential is among them; the last line of
// defence looks at it all the same.
func (p *pass) goroutines() string {
	buf := make([]byte, stackBytes)
	text := string(buf[:runtime.Stack(buf, true)])
	if p.o.Redact != nil {
		text = p.o.Redact(text)
	}
	return text
}
