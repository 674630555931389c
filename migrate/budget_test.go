package migrate

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint"
	"tokenmigrate/checkpoint/localpg"
	"tokenmigrate/migrate/connect/sandbox"
)

const (
	budgetPace  = 1200 // requests a minute
	budgetCalls = budgetPace / 60
)

// budget is several migrations to one endpoint, with one checkpoint database.
type budget struct {
	*testing.T
	db    *pgx.Conn
	end   *endpoint
	store *checkpoint.Store
	proxy *proxy // to the checkpoint
	all   []*worker
}

// newBudget makes one migration for each number of rows, each row a call of its
// own.
func newBudget(t *testing.T, o sandbox.Options, rows ...int) *budget {
	t.Helper()
	url := localpg.Database(t)
	b := &budget{T: t, db: connectTo(t, url), end: startEndpoint(t, o), proxy: startProxy(t, hostOf(t, url))}
	for i, n := range rows {
		name := fmt.Sprintf("m%d", i)
		addPeople(t, b.db, name, n)
		w := &worker{
			sourceURL: url, checkpointURL: b.proxy.through(t, url), schema: "tokenmigrate", endpoint: b.end.url,
			source: peopleOptions(name), o: calmOptions(name),
		}
		w.source.Routes.Connector = name // so that the audit tells them apart
		w.o.ChunkTokens, w.o.RequestsPerMinute, w.o.Policy.Passes = 1, budgetPace, 1
		b.all = append(b.all, w)
	}
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	if b.store, err = checkpoint.Open(t.Context(), cfg, "tokenmigrate"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.store.Close)
	if err := b.store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// run runs workers until they end.
func (b *budget) run(ctx context.Context, workers ...*worker) error {
	var g errgroup.Group
	for _, w := range workers {
		g.Go(func() error {
			r, err := w.run(ctx, ctx)
			if err != nil {
				return fmt.Errorf("%s ended with %w, counts %+v", w.o.Migration, err, r.Counts)
			}
			return nil
		})
	}
	return g.Wait()
}

// calls returns when calls were made, to one migration's connector or to all.
func (b *budget) calls(connector string) []time.Time {
	var at []time.Time
	for _, c := range b.end.Audit().Calls {
		if connector == "" || c.Connector == connector {
			at = append(at, c.At)
		}
	}
	slices.SortFunc(at, time.Time.Compare)
	return at
}

// between returns those of the moments that lie in [from, to).
func between(at []time.Time, from, to time.Time) []time.Time {
	return slices.DeleteFunc(slices.Clone(at), func(a time.Time) bool { return a.Before(from) || !a.Before(to) })
}

// wantPace checks that calls kept to the pace. A busy machine lets calls that
// were spaced arrive together, so the bounds leave room for that; two workers that
// did not share would make twice as many.
func (b *budget) wantPace(at []time.Time) {
	b.Helper()
	if most, want := busiest(at, time.Second), budgetCalls*8/5; most > want {
		b.Errorf("one second saw %d calls, want at most %d", most, want)
	}
	if most, want := busiest(at, 5*time.Second), 5*budgetCalls*13/10; most > want {
		b.Errorf("five seconds saw %d calls, want at most %d", most, want)
	}
}

// wantUsed checks that the budget was used in a span: one of two workers that did
// not know of the other's end would use half.
func (b *budget) wantUsed(what string, at []time.Time, from, to time.Time) {
	b.Helper()
	if got, want := len(between(at, from, to)), to.Sub(from).Seconds()*budgetCalls*0.7; float64(got) < want {
		b.Errorf("%s: %d calls in %s, want at least %.0f", what, got, to.Sub(from).Round(time.Millisecond), want)
	}
}

func TestBudget_IsSharedByMigrations(t *testing.T) {
	t.Parallel()
	// Whoever is first works alone until it knows of the others.
	for _, rows := range [][]int{{150, 150}, {60, 60, 60, 60}} {
		t.Run(fmt.Sprint(len(rows), " workers"), func(t *testing.T) {
			t.Parallel()
			b := newBudget(t, sandbox.Options{Latency: 20 * time.Millisecond}, rows...)
			if len(rows) > 2 {
				b.company()
			}
			if err := b.run(t.Context(), b.all...); err != nil {
				t.Fatal(err)
			}
			b.wantPace(b.calls(""))
			// While all are at work, which is from the last one's first call on.
			var from, to time.Time
			for _, w := range b.all {
				at := b.calls(w.o.Migration)
				if at[0].After(from) {
					from = at[0]
				}
				if last := at[len(at)-1]; to.IsZero() || last.Before(to) {
					to = last
				}
			}
			if to.Sub(from) < 3*time.Second {
				t.Fatalf("all were at work for %s only; the test says nothing", to.Sub(from))
			}
			b.wantUsed("while all work", b.calls(""), from, to)
			for _, w := range b.all {
				share := len(between(b.calls(w.o.Migration), from, to))
				if all := len(between(b.calls(""), from, to)); share*len(rows)*2 < all {
					t.Errorf("%s made %d of %d calls while all worked, want about a fair share", w.o.Migration, share, all)
				}
			}
		})
	}
}

// company makes a worker of another migration appear to be alive, so that no
// worker works alone at first.
func (b *budget) company() {
	b.Helper()
	destination := hostOf(b.T, b.end.url)
	m, err := b.store.CreateMigration(b.Context(), "other", func([]byte) map[string]string { return map[string]string{"destination": destination} })
	if err == nil {
		_, err = b.store.Acquire(b.Context(), m.ID, 0, 1, "other", nil)
	}
	if err != nil {
		b.Fatal(err)
	}
}

func TestBudget_TheLastOneTakesItAll(t *testing.T) {
	t.Parallel()
	b := newBudget(t, sandbox.Options{Latency: 20 * time.Millisecond}, 50, 290)
	if err := b.run(t.Context(), b.all...); err != nil {
		t.Fatal(err)
	}
	b.wantPace(b.calls(""))
	short, long := b.calls("m0"), b.calls("m1")
	alone, end := short[len(short)-1].Add(4*time.Second), long[len(long)-1]
	if end.Sub(alone) < 3*time.Second {
		t.Fatalf("the long one was alone for %s only; the test says nothing", end.Sub(alone))
	}
	b.wantUsed("alone", long, alone, end)
}

func TestBudget_OnesThrottlingPausesTheOther(t *testing.T) {
	t.Parallel()
	const pause, inFlight = 3 * time.Second, time.Second
	b := newBudget(t, sandbox.Options{Faults: []sandbox.Fault{
		{Kind: sandbox.Status, Status: 429, RetryAfter: "3", Connector: "m1", Calls: numbers(140, 200), Times: 1},
	}}, 130, 130)
	if err := b.run(t.Context(), b.all...); err != nil {
		t.Fatal(err)
	}
	var throttled time.Time
	for _, c := range b.end.Audit().Calls {
		if c.Status == 429 {
			throttled = c.At
		}
	}
	if throttled.IsZero() {
		t.Fatal("no call was throttled; the test says nothing")
	}
	if n := len(between(b.calls("m0"), throttled.Add(-time.Second), throttled)); n == 0 {
		t.Fatal("the other one was not at work; the test says nothing")
	}
	// Calls whose turn had come already are still made.
	if late := between(b.calls(""), throttled.Add(inFlight), throttled.Add(pause)); len(late) > 0 {
		t.Errorf("%d calls were made in the pause, the first after %s", len(late), late[0].Sub(throttled))
	}
	if n := len(between(b.calls("m0"), throttled.Add(pause), throttled.Add(time.Minute))); n == 0 {
		t.Error("the other one did not go on")
	}
}

// numbers returns the numbers from first to last.
func numbers(first, last int) []int {
	list := make([]int, 0, last-first+1)
	for n := first; n <= last; n++ {
		list = append(list, n)
	}
	return list
}

func TestBudget_ASingleWorkerPaysNothing(t *testing.T) {
	t.Parallel()
	b := newBudget(t, sandbox.Options{}, 100)
	b.all[0].o.RequestsPerMinute = 60_000
	const takes, intents = `INTO "tokenmigrate".paces`, writesIntent
	b.proxy.count(takes)
	b.proxy.count(intents)
	if err := b.run(t.Context(), b.all...); err != nil {
		t.Fatal(err)
	}
	if n := b.proxy.counted(intents); n < 50 {
		t.Fatalf("got %d intents through the proxy; the test says nothing", n)
	}
	if n := b.proxy.counted(takes); n != 0 {
		t.Errorf("a single worker asked %d times for its turn, want never", n)
	}
}

func TestBudget_IsSteered(t *testing.T) {
	t.Parallel()
	const soon = 4 * time.Second
	b := newBudget(t, sandbox.Options{}, 2000)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		_, err := b.all[0].run(ctx, t.Context())
		ended <- err
	}()
	wait := func(d time.Duration) time.Time {
		t.Helper()
		if err := sleep(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		return time.Now()
	}
	steer := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for deadline := time.Now().Add(20 * time.Second); b.end.Summary().Calls < 10; wait(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no call was made")
		}
	}
	m, err := b.store.Migration(t.Context(), "m0")
	steer("read the migration", err)
	host, team := hostOf(t, b.end.url), ""

	steer("pause", b.store.SetPaused(t.Context(), m.ID, true))
	from := wait(soon)
	to := wait(time.Second)
	if n := len(between(b.calls(""), from, to)); n != 0 {
		t.Errorf("paused: got %d calls in a second, want none", n)
	}
	steer("resume", b.store.SetPaused(t.Context(), m.ID, false))
	from = wait(soon)
	to = wait(2 * time.Second)
	b.wantUsed("resumed", b.calls(""), from, to)
	steer("pace", b.store.SetPace(t.Context(), host, team, 120))
	from = wait(soon)
	to = wait(2 * time.Second)
	if n := len(between(b.calls(""), from, to)); n < 3 || n > 5 {
		t.Errorf("at 120 a minute: got %d calls in 2 s, want about 4", n)
	}
	steer("pace default", b.store.SetPace(t.Context(), host, team, 0))
	from = wait(soon)
	to = wait(2 * time.Second)
	b.wantUsed("at its own pace again", b.calls(""), from, to)
	b.wantPace(b.calls(""))
	stop()
	if err := <-ended; testExitCode(err) != 75 {
		t.Errorf("the run ended with %v, want %v", err, ErrStopped)
	}
}
