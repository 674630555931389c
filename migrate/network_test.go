package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint/localpg"
	"tokenmigrate/migrate/connect/sandbox"
	"tokenmigrate/migrate/report"
	"tokenmigrate/source"
)

// What the worker says when it records answers, and when it writes an intent.
const (
	recordsAnswers = `DELETE FROM "tokenmigrate".calls`
	writesIntent   = `INSERT INTO "tokenmigrate".calls`
)

// network is a worker whose every connection goes through a proxy.
type network struct {
	*testing.T
	worker
	url                string // of the database itself
	db                 *pgx.Conn
	end                *endpoint
	src, store, answer *proxy
	rows               int
}

// newNetwork makes a source of n people, all of whom can be imported.
func newNetwork(t *testing.T, n int, o sandbox.Options) *network {
	t.Helper()
	url := localpg.Database(t)
	db := connectTo(t, url)
	addPeople(t, db, "people", n)
	end := startEndpoint(t, o)
	w := &network{
		T: t, url: url, db: db, end: end, rows: n,
		src: startProxy(t, hostOf(t, url)), store: startProxy(t, hostOf(t, url)), answer: startProxy(t, hostOf(t, end.url)),
	}
	w.worker = worker{
		sourceURL: w.src.through(t, url), checkpointURL: w.store.through(t, url), schema: "tokenmigrate", endpoint: w.answer.through(t, end.url),
		source: peopleOptions("people"), o: calmOptions("network"),
	}
	return w
}

func connectTo(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	db, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(context.WithoutCancel(t.Context())) })
	return db
}

// addPeople makes a table of n rows; the subject of key 7 is 7.
func addPeople(t *testing.T, db *pgx.Conn, table string, n int) {
	t.Helper()
	if _, err := db.Exec(t.Context(), `CREATE TABLE `+table+` AS SELECT id, 'access-' || id AS access, 'refresh-' || id AS refresh,
		extract(epoch FROM now() + interval '1 day')::bigint AS expires FROM generate_series(1, `+fmt.Sprint(n)+`) AS id`); err != nil {
		t.Fatal(err)
	}
}

func peopleOptions(table string) source.Options {
	return source.Options{
		Query:  `SELECT id AS key, access AS access_token, refresh AS refresh_token, expires AS expires_at, id::text AS subject_id FROM ` + table,
		Routes: source.Routes{Connector: slack}, PageSize: 20,
	}
}

// start runs the worker in the background; the function waits for its end.
func (w *network) start() (wait func() (*report.Report, error)) {
	type end struct {
		r   *report.Report
		err error
	}
	ended := make(chan end, 1)
	go func() {
		r, err := w.run(w.Context(), w.Context())
		ended <- end{r, err}
	}()
	return func() (*report.Report, error) {
		w.Helper()
		select {
		case e := <-ended:
			return e.r, e.err
		case <-time.After(time.Minute):
			w.Fatal("the run does not end")
			return nil, nil
		}
	}
}

// reached waits until the endpoint has seen n calls.
func (w *network) reached(n int) {
	w.Helper()
	for deadline := time.Now().Add(30 * time.Second); w.end.Summary().Calls < n; {
		if time.Now().After(deadline) {
			w.Fatalf("the endpoint saw %d calls in 30 s, want %d", w.end.Summary().Calls, n)
		}
		if err := sleep(w.Context(), 2*time.Millisecond); err != nil {
			w.Fatal(err)
		}
	}
}

// texts returns the rows of a query of one text column, read past the proxies.
func (w *network) texts(sql string) []string {
	w.Helper()
	list, err := query(w.Context(), w.db, pgx.RowTo[string], sql)
	if err != nil {
		w.Fatal(err)
	}
	return list
}

// imports returns how often the endpoint imported each key.
func (w *network) imports() map[string]int {
	times := map[string]int{}
	for id, im := range w.end.Imported() {
		times[id.Subject.ID] = im.Times
	}
	return times
}

// wantOnce checks that every row was imported exactly once, with one attempt on
// record, and that nothing is open.
func (w *network) wantOnce(r *report.Report, err error) {
	w.Helper()
	if err != nil {
		w.Fatalf("the run ended with %v, want it to survive", err)
	}
	if want := (report.Counts{Read: int64(w.rows), Imported: int64(w.rows)}); r.Counts != want {
		w.Errorf("got counts %+v, want %+v", r.Counts, want)
	}
	times := w.imports()
	for key, n := range times {
		if n != 1 {
			w.Errorf("key %s was imported %d times, want once", key, n)
		}
	}
	if len(times) != w.rows {
		w.Errorf("%d of %d rows were imported", len(times), w.rows)
	}
	got := w.texts(`SELECT concat_ws(' ', outcome, succeeded, attempts, count(*)) FROM tokenmigrate.tokens GROUP BY outcome, succeeded, attempts`)
	if want := []string{fmt.Sprintf("imported t 1 %d", w.rows)}; !slices.Equal(got, want) {
		w.Errorf("the checkpoint holds %q, want %q", got, want)
	}
	w.wantNothingOpen()
}

func (w *network) wantNothingOpen() {
	w.Helper()
	if calls := w.texts(`SELECT id::text FROM tokenmigrate.calls`); len(calls) > 0 {
		w.Errorf("the intents of calls %q stand, want none", calls)
	}
}

func TestNetwork_LostCommitAnswersCountOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		what string
		n    int
	}{
		"of outcomes": {recordsAnswers, 6},
		"of intents":  {writesIntent, 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newNetwork(t, 200, sandbox.Options{Latency: 5 * time.Millisecond})
			w.store.dropAnswers(c.what, c.n)
			r, err := w.start()()
			w.wantOnce(r, err)
			if n := w.store.left(); n != 0 {
				t.Errorf("%d of %d answers were not dropped; the test tried too little", n, c.n)
			}
			if int(r.Calls.Made) != w.end.Summary().Calls {
				t.Errorf("the report tells of %d calls, the endpoint saw %d", r.Calls.Made, w.end.Summary().Calls)
			}
		})
	}
}

// The intent is there for everybody to see before the call is made, and until its
// outcomes are. These may be recorded together with the next intent, and no later:
// while one call is made, the outcomes of the one before stand.
func TestNetwork_IntentStandsAroundTheCall(t *testing.T) {
	t.Parallel()
	w := newNetwork(t, 30, sandbox.Options{})
	w.o.Concurrency = 1
	want := map[string]string{"before_intent": "01", "after_intent": "1", "after_call": "1", "before_record": "1", "after_record": "01"}
	var mu sync.Mutex
	steps := map[string]int{}
	w.o.Step = func(name string, _ int) {
		mu.Lock()
		defer mu.Unlock()
		steps[name]++
		got, err := query(t.Context(), w.db, pgx.RowTo[string], `SELECT count(*)::text FROM tokenmigrate.calls`)
		if err != nil || !strings.Contains(want[name], got[0]) {
			t.Errorf("%s: got %q intents (%v), want one of %q", name, got, err, want[name])
		}
	}
	r, err := w.start()()
	w.wantOnce(r, err)
	w.wantNothingOpen()
	for name := range want {
		if steps[name] != 3 {
			t.Errorf("%s: got %d times, want once a call, of 3", name, steps[name])
		}
	}
}

// A worker whose last call was settled by another, since it was thought dead, does not
// take its answers for recorded, though nobody waited for them.
func TestNetwork_TheLastAnswerIsSettledByAnother(t *testing.T) {
	t.Parallel()
	w := newNetwork(t, 5, sandbox.Options{})
	w.o.Concurrency = 1
	w.o.Step = func(name string, _ int) {
		if name == "before_record" {
			if _, err := w.db.Exec(t.Context(), `DELETE FROM tokenmigrate.calls`); err != nil {
				t.Error(err)
			}
		}
	}
	r, err := w.start()()
	if !errors.Is(err, ErrHeld) {
		t.Errorf("got error %v, want %v", err, ErrHeld)
	}
	if c := r.Counts; c.Unknown != 5 || c.Read != 5 {
		t.Errorf("got %+v, want all 5 unknown, as the other worker made them", c)
	}
}

func TestNetwork_NoCallWhileOutcomesCannotBeRecorded(t *testing.T) {
	t.Parallel()
	const away, inFlight = 3 * time.Second, 300 * time.Millisecond
	for name, c := range map[string]struct {
		off, on func(p *proxy)
	}{
		"gone":   {func(p *proxy) { p.turn(false) }, func(p *proxy) { p.turn(true) }},
		"frozen": {func(p *proxy) { p.freeze(true) }, func(p *proxy) { p.freeze(false) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newNetwork(t, 400, sandbox.Options{Latency: 20 * time.Millisecond})
			wait := w.start()
			w.reached(8)
			c.off(w.store)
			from := time.Now()
			if err := sleep(t.Context(), away); err != nil {
				t.Fatal(err)
			}
			to := time.Now()
			c.on(w.store)
			r, err := wait()
			w.wantOnce(r, err)
			late, early := 0, 0
			for _, call := range w.end.Audit().Calls {
				switch {
				case call.At.Before(from) || call.At.After(to):
				case call.At.Before(from.Add(inFlight)):
					early++
				default:
					late++
				}
			}
			if late > 0 || early > w.o.Concurrency {
				t.Errorf("while the checkpoint was away %d calls were made at once and %d later, want at most %d whose intents stood, and none", early, late, w.o.Concurrency)
			}
			if r.Calls.WaitedSeconds["checkpoint database"] < 1 && name == "gone" {
				t.Errorf("waited for %v, want it to tell of the checkpoint database", r.Calls.WaitedSeconds)
			}
			if r.Calls.WaitedSeconds["recording"] < 1 {
				t.Errorf("waited for %v, want it to tell of senders whose intents were not recorded", r.Calls.WaitedSeconds)
			}
		})
	}
}

func TestNetwork_SourceAwayCostsNothing(t *testing.T) {
	t.Parallel()
	w := newNetwork(t, 300, sandbox.Options{Latency: 10 * time.Millisecond})
	wait := w.start()
	w.reached(5)
	w.src.turn(false)
	if err := sleep(t.Context(), 3*time.Second); err != nil {
		t.Fatal(err)
	}
	w.src.turn(true)
	r, err := wait()
	w.wantOnce(r, err)
}

func TestNetwork_FrozenEndpointIsInDoubt(t *testing.T) {
	t.Parallel()
	w := newNetwork(t, 200, sandbox.Options{Latency: 10 * time.Millisecond})
	wait := w.start()
	w.reached(5)
	w.answer.freeze(true)
	if err := sleep(t.Context(), 1500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	w.answer.freeze(false)
	r, err := wait()
	w.wantAllImported(r, err)
	if r.Calls.Retried == 0 || r.Calls.ResentTokens == 0 {
		t.Errorf("got calls %+v, want some sent again", r.Calls)
	}
}

// wantAllImported checks that every row was imported, and more than once only
// where its report tells of tokens sent again.
func (w *network) wantAllImported(r *report.Report, err error) {
	w.Helper()
	if err != nil {
		w.Fatalf("the run ended with %v, want it to survive", err)
	}
	if want := (report.Counts{Read: int64(w.rows), Imported: int64(w.rows)}); r.Counts != want {
		w.Errorf("got counts %+v, want %+v", r.Counts, want)
	}
	times := w.imports()
	again := 0
	for _, n := range times {
		again += n - 1
	}
	if len(times) != w.rows || int64(again) > r.Calls.ResentTokens {
		w.Errorf("%d of %d rows were imported, %d times too often, and %d were sent again", len(times), w.rows, again, r.Calls.ResentTokens)
	}
	got := w.texts(`SELECT concat_ws(' ', outcome, succeeded, count(*)) FROM tokenmigrate.tokens GROUP BY outcome, succeeded`)
	if want := []string{fmt.Sprintf("imported t %d", w.rows)}; !slices.Equal(got, want) {
		w.Errorf("the checkpoint holds %q, want %q", got, want)
	}
	w.wantNothingOpen()
}

func TestNetwork_CutAtRandom(t *testing.T) {
	t.Parallel()
	w := newNetwork(t, 400, sandbox.Options{Latency: 20 * time.Millisecond, Jitter: 20 * time.Millisecond})
	w.o.MaxAttempts = 20
	rnd := rand.New(rand.NewPCG(7, 7))
	wait := w.start()
	w.reached(1) // at its start nothing is waited for
	ctx, stop := context.WithCancel(t.Context())
	cutting := make(chan struct{})
	go func() {
		defer close(cutting)
		for range 40 {
			p := []*proxy{w.src, w.store, w.store, w.answer}[rnd.IntN(4)]
			if rnd.IntN(3) == 0 && p == w.store {
				p.dropAnswers([]string{recordsAnswers, writesIntent}[rnd.IntN(2)], 1)
			} else {
				p.cut()
			}
			if sleep(ctx, time.Duration(rnd.IntN(80))*time.Millisecond) != nil {
				return
			}
		}
	}()
	r, err := wait()
	stop()
	<-cutting
	w.wantAllImported(r, err)
}

func TestNetwork_CheckpointGoneForGood(t *testing.T) {
	t.Parallel()
	w := newNetwork(t, 300, sandbox.Options{Latency: 50 * time.Millisecond})
	w.o.databaseWait = 2 * time.Second
	wait := w.start()
	w.reached(6)
	w.store.turn(false)
	from := time.Now()
	r, err := wait()
	if took := time.Since(from); !errors.Is(err, ErrUnavailable) || took > 20*time.Second {
		t.Fatalf("got error %v after %v, want %v after %v", err, took, ErrUnavailable, w.o.databaseWait)
	}
	if err := reportAddsUp(r); err != nil {
		t.Errorf("got %+v: %v", r.Counts, err)
	}
	standing := map[string]bool{}
	for _, key := range w.texts(`SELECT unnest(keys) FROM tokenmigrate.calls`) {
		standing[key] = true
	}
	if len(standing) == 0 {
		t.Error("no intent stands for the calls in flight")
	}
	before := w.imports()
	for _, key := range w.texts(`SELECT key FROM tokenmigrate.tokens WHERE outcome = 'imported'`) {
		if before[key] != 1 || standing[key] {
			t.Errorf("key %s is recorded as imported; it was, %d times, and an intent stands: %v", key, before[key], standing[key])
		}
	}
	unrecorded := int64(0)
	for key := range before {
		recorded := len(w.texts(`SELECT key FROM tokenmigrate.tokens WHERE outcome = 'imported' AND key = '`+key+`'`)) > 0
		if !recorded {
			unrecorded++
		}
		if !recorded && !standing[key] {
			t.Errorf("key %s was imported; it is neither recorded nor in doubt", key)
		}
	}
	if unrecorded == 0 || r.Counts.Unknown < unrecorded || r.Reasons[reasonInDoubt] != r.Counts.Unknown {
		t.Errorf("%d tokens were sent and could not be recorded; got %+v and reasons %v, want these in doubt", unrecorded, r.Counts, r.Reasons)
	}
	w.store.turn(true)
	w.end.wait()
	if _, err := w.db.Exec(t.Context(), `UPDATE tokenmigrate.calls SET settle_after = now()`); err != nil {
		t.Fatal(err)
	}
	// The dead worker could not give its lease up.
	if _, err := w.db.Exec(t.Context(), `UPDATE tokenmigrate.leases SET expires_at = now()`); err != nil {
		t.Fatal(err)
	}
	if _, err := w.start()(); err != nil {
		t.Fatalf("the next run ended with %v", err)
	}
	times := w.imports()
	for key, n := range times {
		if n != 1 && !standing[key] {
			t.Errorf("key %s was imported %d times, and its call was not in doubt", key, n)
		}
	}
	if len(times) != w.rows {
		t.Errorf("%d of %d rows were imported", len(times), w.rows)
	}
	w.wantNothingOpen()
}

// A call that could not be made is none, and sends nothing again.
func TestNetwork_CallsThatWereNotMadeAreNotCounted(t *testing.T) {
	t.Parallel()
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		w := newNetwork(t, 10, sandbox.Options{Faults: []sandbox.Fault{{Kind: sandbox.Status, Status: 500}}})
		w.o.OutageWait = 100 * time.Millisecond
		if r, err := w.start()(); !errors.Is(err, ErrUnavailable) || r.Calls.Made != int64(w.end.Summary().Calls) || r.Counts.Unknown != 10 {
			t.Fatalf("got error %v and %+v, want %v and all in doubt", err, r.Counts, ErrUnavailable)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		w.o.AcceptConfigChange = true // another port is another destination
		w.worker.endpoint = "http://" + l.Addr().String()
		_ = l.Close()
		r, err := w.start()()
		if !errors.Is(err, ErrUnavailable) || r.Calls.Made != 0 || r.Calls.Tokens != 0 || r.Calls.ResentTokens != 0 {
			t.Errorf("got error %v and %+v, want %v, no call and nothing sent again", err, r.Calls, ErrUnavailable)
		}
	})
	t.Run("https where nobody speaks TLS", func(t *testing.T) {
		t.Parallel()
		w := newNetwork(t, 40, sandbox.Options{})
		w.worker.endpoint = strings.Replace(w.end.url, "http:", "https:", 1)
		r, err := w.start()()
		if !errors.Is(err, ErrConfig) || r.Calls.Made != 0 || r.Calls.Tokens != 0 || !strings.Contains(err.Error(), "answers without TLS") {
			t.Errorf("got error %v and %+v, want %v that says so and no call", err, r.Calls, ErrConfig)
		}
	})
	t.Run("a certificate that nobody vouches for", func(t *testing.T) {
		t.Parallel()
		w := newNetwork(t, 40, sandbox.Options{})
		server := httptest.NewUnstartedServer(http.NotFoundHandler())
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		defer server.Close()
		w.worker.endpoint = server.URL
		r, err := w.start()()
		if !errors.Is(err, ErrConfig) || r.Calls.Made != 0 || r.Calls.Tokens != 0 {
			t.Errorf("got error %v and %+v, want %v and no call", err, r.Calls, ErrConfig)
		}
	})
}

func TestNetwork_SourceGoneForGood(t *testing.T) {
	t.Parallel()
	w := newNetwork(t, 300, sandbox.Options{Latency: 50 * time.Millisecond})
	w.o.databaseWait = time.Second
	wait := w.start()
	w.reached(4)
	w.src.turn(false)
	r, err := wait()
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "source database") {
		t.Fatalf("got error %v, want %v that names the source database", err, ErrUnavailable)
	}
	w.wantNothingOpen() // what was in flight is recorded
	if held := w.texts(`SELECT holder FROM tokenmigrate.leases WHERE holder <> ''`); len(held) > 0 {
		t.Errorf("the lease is still held by %q, want it given up: the checkpoint was there", held)
	}
	recorded := slices.Sorted(slices.Values(w.texts(`SELECT key FROM tokenmigrate.tokens WHERE outcome = 'imported'`)))
	if there := slices.Sorted(maps.Keys(w.imports())); !slices.Equal(recorded, there) || r.Counts.Imported != int64(len(recorded)) {
		t.Errorf("recorded are %q, imported were %q, counted %d", recorded, there, r.Counts.Imported)
	}
	w.src.turn(true)
	r, err = w.start()()
	if err != nil || r.Counts.Unchanged != int64(len(recorded)) || r.Counts.Imported != int64(w.rows-len(recorded)) {
		t.Errorf("the next run ended with %v and counts %+v, want %d unchanged and the rest imported", err, r.Counts, len(recorded))
	}
}
