package migrate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"tokenmigrate/migrate/connect/sandbox"
	"tokenmigrate/migrate/report"
	"tokenmigrate/source"
)

// rivals are two shards and a source whose rows are all for one person: key 1 is of
// shard 1, key 2 of shard 0.
type rivals struct{ *network }

func newRivals(t *testing.T, o sandbox.Options) *rivals {
	t.Helper()
	return &rivals{newNetwork(t, 0, o)}
}

// only leaves one row in the source.
func (w *rivals) only(key int) {
	w.Helper()
	if _, err := w.db.Exec(w.Context(), fmt.Sprintf(`TRUNCATE people; INSERT INTO people VALUES (%[1]d, 'access-%[1]d', 'refresh', extract(epoch FROM now() + interval '1 day')::bigint)`, key)); err != nil {
		w.Fatal(err)
	}
}

// shard runs one of the shards, which calls step before each intent.
func (w *rivals) shard(n int, step func()) (*report.Report, error) {
	v := w.worker
	v.source = source.Options{
		Query:  `SELECT id AS key, access AS access_token, refresh AS refresh_token, expires AS expires_at, 'ada' AS subject_id FROM people`,
		Routes: source.Routes{Connector: slack}, PageSize: 20, Shard: n, Shards: 2,
	}
	v.o.Shard, v.o.Shards = n, 2
	v.o.Step = func(name string, _ int) {
		if step != nil && name == "before_intent" {
			step()
		}
	}
	return v.run(context.WithoutCancel(w.Context()), context.WithoutCancel(w.Context()))
}

// holds checks whose token the endpoint holds.
func (w *rivals) holds(key int) {
	w.Helper()
	for _, im := range w.end.Imported() {
		if im.AccessTokenSHA256 != sha256.Sum256(fmt.Appendf(nil, "access-%d", key)) {
			w.Errorf("the endpoint does not hold the token of key %d", key)
		}
	}
}

// As long as a call of another shard stands, nobody else is sent for its identity,
// although its row is gone: that call may arrive last.
func TestShards_ACallThatStandsIsAClaim(t *testing.T) {
	t.Parallel()
	w := newRivals(t, sandbox.Options{Faults: []sandbox.Fault{{Kind: sandbox.SlowBody, Delay: 8 * time.Second, Calls: []int{1}}}})
	w.o.CallTimeout = time.Minute
	w.only(1)
	ended := make(chan error, 1)
	go func() {
		_, err := w.shard(1, nil)
		ended <- err
	}()
	w.reached(1)
	w.only(2)
	r, err := w.shard(0, nil)
	if !errors.Is(err, ErrNotImported) || r.Reasons[reasonDuplicate] != 1 || r.Calls.Allowed != 0 {
		t.Errorf("while the call stands: got %v, %+v and %+v, want a duplicate and not even a permit", err, r.Counts, r.Calls)
	}
	if err := <-ended; !errors.Is(err, ErrNotImported) { // it is the last, and speaks for both
		t.Errorf("the other shard ended with %v", err)
	}
	if r, err := w.shard(0, nil); err != nil || r.Counts.Imported != 1 {
		t.Errorf("once it is over: got %v and %+v, want the row to be imported", err, r.Counts)
	}
	w.holds(2)
}

// A call that is repeated is not made where another shard has sent a key for its
// identity since, although that key had been sent before, too.
func TestShards_ARepeatedCallYields(t *testing.T) {
	t.Parallel()
	w := newRivals(t, sandbox.Options{Faults: []sandbox.Fault{{Kind: sandbox.Status, Status: 500, Calls: []int{2}}}})
	w.only(2)
	if _, err := w.shard(0, nil); err != nil {
		t.Fatal(err)
	}
	w.only(1)
	intents := 0
	r, err := w.shard(1, func() {
		if intents++; intents != 2 {
			return
		}
		w.only(2)
		if r, err := w.shard(0, nil); err != nil || r.Counts.Imported != 1 {
			t.Errorf("the row that came back: got %v and %+v, want it imported", err, r.Counts)
		}
	})
	if err != nil || r.Counts != (report.Counts{}) || intents != 2 {
		t.Errorf("got %v and %+v after %d intents, want the vanished row let go after 2", err, r.Counts, intents)
	}
	w.holds(2)
}
