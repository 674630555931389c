package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"tokenmigrate/migrate"
)

// barEvery is the time between two looks of the bar at the run.
const barEvery = 200 * time.Millisecond

// lines writes whole lines to stderr, above the progress bar while there is one.
// It is safe for concurrent use.
type lines struct {
	mu  sync.Mutex
	w   io.Writer
	bar *mpb.Progress // nil: none
}

// Write writes one or more lines.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bar != nil {
		if n, err := l.bar.Write(p); err == nil {
			return n, nil
		}
		// The terminal went away: whatever is there now gets the lines.
	}
	return l.w.Write(p)
}

// begin keeps the last line for a bar.
func (l *lines) begin(bar *mpb.Progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bar = bar
}

// end ends the bar with remove; lines that others write meanwhile come after it.
func (l *lines) end(remove func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	remove()
	l.bar = nil
}

// barShown reports whether stderr is a terminal that can show a bar.
func (a *app) barShown() bool {
	kind, _ := a.getenv("TERM")
	return kind != "dumb" && terminal(a.stderr)
}

// showBar shows a progress bar of the run that watch looks at, until stop is
// called, which removes it and returns when nothing of it runs any more.
func (a *app) showBar(watch *migrate.Watch) (stop func()) {
	progress := mpb.New(mpb.WithOutput(a.stderr), mpb.WithRefreshRate(barEvery))
	var mu sync.Mutex
	words := barWords{begun: time.Now()}
	bar := progress.AddBar(0, // not known yet, and so never complete by itself
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { mu.Lock(); defer mu.Unlock(); return words.left })),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { mu.Lock(); defer mu.Unlock(); return words.right })))
	a.lines.begin(progress)
	over := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		tick := time.NewTicker(barEvery)
		defer tick.Stop()
		for {
			now := watch.Now()
			mu.Lock()
			done, total := words.look(&now, time.Now())
			mu.Unlock()
			bar.SetTotal(total, false)
			bar.SetCurrent(done)
			select {
			case <-tick.C:
			case <-over:
				return
			}
		}
	})
	return sync.OnceFunc(func() {
		close(over)
		looking.Wait()
		a.lines.end(func() {
			bar.Abort(true)
			progress.Wait()
		})
	})
}

// barWords is what stands beside the bar.
type barWords struct {
	begun       time.Time
	left, right string
}

// look takes the run's state over and returns how many rows are done, of how
// many.
func (b *barWords) look(n *migrate.Now, now time.Time) (done, total int64) {
	c, pace := n.Report.Counts, n.Report.Pace
	done = c.Read - c.Pending
	left := n.Report.SecondsLeft()
	if n.Report.Mode == "dry-run" {
		done = c.Read
		if done > 0 && n.Total > done {
			left = now.Sub(b.begun).Seconds() / float64(done) * float64(n.Total-done)
		}
	}
	about := ""
	if n.Estimated {
		about = "~"
	}
	b.left = fmt.Sprintf("%s of %s%s", grouped(done), about, grouped(n.Total))
	b.right = ""
	switch {
	case !n.Begun, n.Total == 0 && pace.Waiting == "":
		b.left = "starting"
		return 0, 0
	case pace.Current > 0 && n.Report.Mode == "run":
		b.right = strconv.FormatFloat(math.Round(pace.Current*10)/10, 'f', -1, 64) + "/min "
	}
	if left >= 0.5 {
		b.right += time.Duration(left*float64(time.Second)).Round(time.Second).String() + " left "
	}
	if w := n.Report.Walk; w != nil && !n.Over {
		b.right += fmt.Sprintf("checking again (walk %d): %s changed tokens left ", w.Number, grouped(w.Open))
	}
	switch pace.Waiting {
	case "", "pace":
	default:
		b.right += "waiting: " + pace.Waiting
	}
	return done, n.Total
}

// grouped writes 1234567 as 1,234,567.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
