package source

import (
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
)

// rowSink takes the result rows of one statement and maps them. The key is the
// row's own; values are the connection's, good until the next row.
type rowSink interface {
	add(key string, values [][]byte)
	len() int
	// finish returns the rows in the order of their adding. It must be called once,
	// whatever became of the statement.
	finish() []Row
}

// newSink returns a sink for about n rows read at now.
func (r *Reader) newSink(now time.Time, n int) rowSink {
	if r.o.Open == nil {
		return &plainSink{mapper: r.mapper, now: now, rows: make([]Row, 0, min(n, 1024))}
	}
	return &openingSink{r: r, now: now, turns: make(chan struct{}, runtime.GOMAXPROCS(0))}
}

// plainSink maps each row at once.
type plainSink struct {
	mapper *mapper
	now    time.Time
	rows   []Row
}

func (s *plainSink) add(key string, values [][]byte) {
	s.rows = append(s.rows, Row{Key: key})
	s.mapper.row(&s.rows[len(s.rows)-1], values, s.now)
}

func (s *plainSink) len() int      { return len(s.rows) }
func (s *plainSink) finish() []Row { return s.rows }

// batchRows is how many rows a worker of an openingSink takes at a time: enough
// that handing them over costs nothing beside opening, and few enough that a
// slow cipher (a key derivation for each value) keeps all processors at work.
const batchRows = 16

// openingSink maps rows on all processors while the next ones are read, since
// opening may cost far more than reading. Reading does not wait for it: a server
// that cannot get rid of its rows would take that for a slow client.
type openingSink struct {
	r       *Reader
	now     time.Time
	count   int
	open    *batch
	batches []*batch
	workers errgroup.Group
	turns   chan struct{} // held by the workers that open
}

// batch is some rows in a row: their values, and then what they map to.
type batch struct {
	keys   []string
	values [][][]byte
	rows   []Row
}

func (s *openingSink) add(key string, values [][]byte) {
	if s.open == nil {
		s.open = &batch{}
		s.batches = append(s.batches, s.open)
	}
	size := 0
	for _, v := range values {
		size += len(v)
	}
	all := make([]byte, 0, size)
	kept := make([][]byte, len(values))
	for i, v := range values {
		if v != nil {
			start := len(all)
			all = append(all, v...)
			kept[i] = all[start:len(all):len(all)]
		}
	}
	s.open.keys, s.open.values = append(s.open.keys, key), append(s.open.values, kept)
	s.count++
	if len(s.open.keys) == batchRows {
		s.hand()
	}
}

// hand gives the open batch to a worker.
func (s *openingSink) hand() {
	b := s.open
	s.open = nil
	s.workers.Go(func() error {
		s.turns <- struct{}{}
		defer func() { <-s.turns }()
		m := newMapper(s.r.columns, s.r.o)
		b.rows = make([]Row, len(b.keys))
		for i := range b.keys {
			b.rows[i].Key = b.keys[i]
			m.row(&b.rows[i], b.values[i], s.now)
		}
		b.values = nil
		return nil
	})
}

func (s *openingSink) len() int { return s.count }

func (s *openingSink) finish() []Row {
	if s.open != nil {
		s.hand()
	}
	_ = s.workers.Wait() // no worker fails
	rows := make([]Row, 0, s.count)
	for _, b := range s.batches {
		rows = append(rows, b.rows...)
	}
	return rows
}
