package source

import (
	"fmt"
	"testing"
	"time"
)

// heldBack is an Opener that opens nothing before it is let.
type heldBack struct {
	documents
	let chan struct{}
}

func (h *heldBack) Open(in Values) (Opened, error) {
	<-h.let
	return h.documents.Open(in)
}

// However long opening takes, the connection is read to the end meanwhile: nobody
// has to wait for the rows that were opened before.
func TestSink_DoesNotHoldUpReading(t *testing.T) {
	h := &heldBack{let: make(chan struct{})}
	db := newDatabase(t, `CREATE TABLE t (id int PRIMARY KEY, doc text)`)
	r := db.open(Options{Open: h, Query: `SELECT id AS key, 'u' AS subject_id, doc, '!'::text AS salt FROM t`})
	sink := r.newSink(time.Now(), 1000)
	added := make(chan struct{})
	go func() {
		defer close(added)
		for i := range 1000 {
			values := make([][]byte, len(r.columns))
			for n, c := range r.columns {
				if values[n] = []byte("x"); c.name == "doc" {
					values[n] = fmt.Appendf(nil, "ok:%d", i)
				}
			}
			sink.add(fmt.Sprint(i), values)
		}
	}()
	select {
	case <-added:
	case <-time.After(10 * time.Second):
		t.Error("adding rows waits for those that are being opened")
	}
	close(h.let)
	<-added
	rows := sink.finish()
	if len(rows) != 1000 || rows[999].Token.AccessToken.Reveal() != "999x" {
		t.Errorf("got %d rows, the last %+v", len(rows), rows[len(rows)-1].Key)
	}
}

// Pages are as large as can be opened in a while, from the second one on.
func TestLimiter_FollowsTheTimeOfOpening(t *testing.T) {
	l := newLimiter(1000, true)
	for _, c := range []struct {
		each time.Duration
		want []int
	}{
		{time.Microsecond, []int{100, 200, 400, 800, 1000, 1000}},
		{100 * time.Millisecond, []int{1000, 100, 100}},
		{time.Second, []int{100, 10, 10}},
		{time.Minute, []int{10, 1, 1}},
		{time.Millisecond, []int{1, 2, 4, 8}},
	} {
		for _, want := range c.want {
			got := l.rows()
			if got != want {
				t.Errorf("rows that take %s: got a page of %d, want %d", c.each, got, want)
			}
			l.observe(got, got*100, false, time.Duration(got)*c.each)
		}
	}
}
