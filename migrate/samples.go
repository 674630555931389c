package migrate

import (
	"context"
	"sync"
	"time"

	"tokenmigrate/migrate/report"
)

// sampleEvery is the time between two samples of the progress. A report's
// timeline keeps fewer of them the longer a run lasts.
const sampleEvery = time.Second

// sampler keeps how far a run was, over time. It is safe for concurrent use.
type sampler struct {
	started time.Time // set before use

	mu   sync.Mutex
	line report.Timeline
}

// points returns the samples that are kept, in order; never nil.
func (s *sampler) points() []report.ProgressPoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.line.Points()
}

// sampling takes samples until ctx ends.
func (p *pass) sampling(ctx context.Context) {
	p.sample()
	for sleep(ctx, sampleEvery) == nil {
		p.sample()
	}
}

// sample notes how far the run is.
func (p *pass) sample() {
	// The lock comes before the look: who looked first is noted first, so that no
	// point goes back behind another.
	p.samples.mu.Lock()
	defer p.samples.mu.Unlock()
	tally, calls := p.ledger.current()
	c := tally.Counts()
	p.samples.line.Add(report.ProgressPoint{
		Seconds: p.now().Sub(p.samples.started).Seconds(), Done: c.Read - c.Pending, Imported: c.Imported,
		Calls: calls.Made, Throttled: calls.Throttled,
	})
}

// kept returns what the runs table keeps of the run as it is now, with a sample of
// this moment: it may be the last that is heard of the run.
func (p *pass) kept() report.RunCounts {
	p.sample()
	c := p.ledger.counts()
	c.Remaining, c.Walk, c.Progress, c.Pace, c.Store = p.remaining(), p.again(), p.samples.points(), p.paceNow(), p.readAs()
	if p.o.Shards > 1 {
		c.Shards = p.o.Shards
	}
	return c
}

// paceNow returns the pace as it is configured and as it is now.
func (p *pass) paceNow() report.Pace {
	now, _ := p.pace.state()
	return report.Pace{RequestsPerMinute: p.o.RequestsPerMinute, Current: now}
}

// readAs tells what the source was read as in this walk so far.
func (p *pass) readAs() report.Store {
	s := p.o.Store
	s.Encrypted, s.Plain = p.sealed.Load(), p.plain.Load()
	if s.Warnings == nil {
		s.Warnings = []string{}
	}
	return s
}
