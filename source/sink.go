package source

import (
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
)

// How many rows a worker of a sink takes at a time: enough that handing them over
// costs nothing beside mapping them, and few enough that a slow cipher (a key
// derivation for each value) keeps all processors at work.
const (
	batchPlain  = 100
	batchSealed = 16
)

// sink takes the result rows of one statement. It maps them on all processors while
// the next ones are read: opening what is encrypted may cost far more than reading.
// Reading does not wait for it: a server that cannot get rid of its rows would take
// that for a slow client.
type sink struct {
	r       *Reader
	now     time.Time
	size    int // rows of a batch
	count   int
	room    []Row // for what the batches map to, one behind the other
	open    *batch
	batches []*batch
	scratch []byte // the values of one row
	workers errgroup.Group
	turns   chan struct{} // held by the workers that map
}

// batch is some rows in a row: their values, and then what they map to.
type batch struct {
	keys  []string
	texts []string // the values of each row, end to end
	ends  []int    // where each value ends in its row's text; negative for NULL, less one
	rows  []Row
}

// newSink returns a sink for about n rows read at now.
func (r *Reader) newSink(now time.Time, n int) *sink {
	size := batchPlain
	if r.o.Open != nil {
		size = batchSealed
	}
	return &sink{r: r, now: now, size: size, room: make([]Row, min(n, 1024)), turns: make(chan struct{}, runtime.GOMAXPROCS(0))}
}

// add takes a row with its own key; values are the connection's, good until the next
// row.
func (s *sink) add(key string, values [][]byte) {
	columns := len(s.r.columns)
	if s.open == nil {
		s.open = &batch{keys: make([]string, 0, s.size), texts: make([]string, 0, s.size), ends: make([]int, 0, s.size*columns)}
		s.batches = append(s.batches, s.open)
	}
	b := s.open
	s.scratch, b.ends = endToEnd(s.scratch[:0], b.ends, values[:columns])
	b.keys, b.texts = append(b.keys, key), append(b.texts, string(s.scratch))
	if s.count++; len(b.keys) == s.size {
		s.hand()
	}
}

// endToEnd appends a row's values to text, and where each of them ends to ends.
func endToEnd(text []byte, ends []int, values [][]byte) ([]byte, []int) {
	for _, v := range values {
		text = append(text, v...)
		end := len(text)
		if v == nil {
			end = -1 - end
		}
		ends = append(ends, end)
	}
	return text, ends
}

// hand gives the open batch to a worker.
func (s *sink) hand() {
	b := s.open
	s.open = nil
	if n := len(b.keys); s.count <= len(s.room) {
		b.rows = s.room[s.count-n : s.count]
	} else {
		b.rows = make([]Row, n)
	}
	s.workers.Go(func() error {
		s.turns <- struct{}{}
		defer func() { <-s.turns }()
		m := newMapper(s.r.columns, s.r.o)
		for i := range b.keys {
			b.rows[i].Key = b.keys[i]
			m.row(&b.rows[i], b.texts[i], b.ends[i*len(m.columns):], s.now)
		}
		b.texts, b.ends = nil, nil
		return nil
	})
}

func (s *sink) len() int { return s.count }

// finish returns the rows in the order of their adding. It must be called once,
// whatever became of the statement.
func (s *sink) finish() []Row {
	if s.open != nil {
		s.hand()
	}
	_ = s.workers.Wait() // no worker fails
	if s.count <= len(s.room) {
		return s.room[:s.count:s.count]
	}
	rows := make([]Row, 0, s.count)
	for _, b := range s.batches {
		rows = append(rows, b.rows...)
	}
	return rows
}
