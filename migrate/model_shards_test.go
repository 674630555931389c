package migrate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"tokenmigrate/checkpoint/localpg"
	"tokenmigrate/migrate/connect/sandbox"
)

// TestModel_Shards is TestModel for two shards that work at once on a source whose
// rows meet at few identities: in the end every row has the ending that it deserves,
// whatever the shards did to each other. It takes the same variables.
func TestModel_Shards(t *testing.T) {
	t.Parallel()
	if os.Getenv("TOKENMIGRATE_TEST_DATABASE_URL") != "" {
		t.Skip("this test has more connections than a server may allow")
	}
	server, err := localpg.Start(t.Context(), localpg.Options{Settings: map[string]string{"max_connections": "500"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Stop() }()
	playModels(t, server, 6, 2*modelAtOnce, runShardsModel) // they wait for each other most of the time
}

const modelShards = 2

// runShardsModel plays the history of a seed.
func runShardsModel(ctx context.Context, seed uint64, url string) (m *model, err error) {
	m, writer, end, err := openModel(ctx, seed, url)
	if err != nil {
		return m, err
	}
	defer end()
	rows := 5 + m.rnd.IntN(60)
	if m.src, err = newModelSource(ctx, writer, rand.New(rand.NewPCG(seed, 2)), rows); err != nil {
		return m, err
	}
	m.src.crowd, m.src.oversized = 3+m.rnd.IntN(1+rows/3), false
	m.end, err = newEndpoint(sandbox.Options{
		Seed: int64(seed), Latency: time.Duration(m.rnd.IntN(100)) * time.Millisecond, Jitter: 50 * time.Millisecond,
		Refuse: func(t sandbox.Token) bool { return strings.HasPrefix(t.Subject.ID, "refused-") },
		Reject: func(t sandbox.Token) bool { return strings.HasPrefix(t.Subject.ID, "rejected-") },
	})
	if err != nil {
		return m, err
	}
	defer m.end.close()
	m.worker = worker{sourceURL: url, checkpointURL: url, schema: "tokenmigrate", endpoint: m.end.url, o: calmOptions("model")}
	p := &m.worker.o.Policy
	p.SendExpired = m.rnd.IntN(3) == 0
	p.InDoubt = []InDoubt{InDoubtSend, InDoubtSend, InDoubtFresh, InDoubtHold}[m.rnd.IntN(4)]
	m.check = modelCheck{model: m, policy: *p}
	m.notef("%d rows, keys %s, a crowd of %d, policy %+v", rows, m.src.keys.name, m.src.crowd, *p)
	for range 1 + m.rnd.IntN(3) {
		if err := m.atOnce(ctx); err != nil {
			return m, err
		}
	}
	return m, m.shardsAtRest(ctx)
}

// atOnce runs all shards among faults and changes; one of them may be stopped or cut.
func (m *model) atOnce(ctx context.Context) error {
	faults := m.faults()
	if err := m.end.SetFaults(faults); err != nil {
		return err
	}
	stopped, mode, after := m.rnd.IntN(modelShards), m.rnd.IntN(4), time.Duration(4000+m.rnd.IntN(1500))*time.Millisecond
	m.notef("run: faults %v, shard %d has interruption %d after %s", faults, stopped, mode, after)
	stopChanging := m.changing(ctx, 80+m.rnd.IntN(150))
	var g errgroup.Group
	for n := range modelShards {
		drain, stop := context.WithCancel(ctx)
		defer stop()
		cut, kill := context.WithCancel(ctx)
		defer kill()
		if n == stopped && mode >= 2 {
			defer time.AfterFunc(after, func() {
				stop()
				if mode == 3 {
					kill()
				}
			}).Stop()
		}
		w := m.shard(n)
		g.Go(func() error {
			_, err := w.run(drain, cut)
			if code := testExitCode(err); code == 1 || code == 6 {
				return fmt.Errorf("shard %d ended with %w", n, err)
			}
			return nil
		})
	}
	if err := errors.Join(g.Wait(), stopChanging()); err != nil {
		return err
	}
	m.end.wait()
	return m.settleNow(ctx)
}

// shard returns the worker of a shard, with what may change between two runs.
func (m *model) shard(n int) *worker {
	w := m.worker
	w.o.Shard, w.o.Shards = n, modelShards
	w.o.ChunkTokens, w.o.Concurrency, w.o.Policy.Passes = 1+m.rnd.IntN(10), 1+m.rnd.IntN(8), 1+m.rnd.IntN(3)
	w.source = m.src.options(1 + m.rnd.IntN(20))
	w.source.Shard, w.source.Shards = n, modelShards
	return &w
}

// shardsAtRest runs the shards in turns until neither makes a call, and checks how
// things are then.
func (m *model) shardsAtRest(ctx context.Context) error {
	if err := m.end.SetFaults(nil); err != nil {
		return err
	}
	const rounds = 5
	for round := 1; ; round++ {
		before := m.end.Summary().Calls
		for n := range modelShards {
			w := m.shard(n)
			w.o.CallTimeout, w.o.RetryFailed = 10*time.Second, round == 1
			if _, err := w.run(ctx, ctx); err != nil && !errors.Is(err, ErrNotImported) {
				return fmt.Errorf("round %d: shard %d ended with %w", round, n, err)
			}
		}
		m.end.wait()
		if m.end.Summary().Calls == before {
			break
		}
		if round == rounds {
			return fmt.Errorf("after %d rounds the shards still make calls", rounds)
		}
	}
	return m.check.endings(ctx)
}
