package migrate

import (
	"context"
	"reflect"
	"strconv"
	"testing"

	"github.com/rs/zerolog"

	"tokenmigrate/checkpoint"
	"tokenmigrate/source"
)

// Pages are looked up by their place in the walk and for the run, and only those that
// are done are remembered.
func TestFeed_RemembersPagesThatAreDone(t *testing.T) {
	t.Parallel()
	m := newMemory()
	var rows []source.Row
	for i := range 6 {
		rows = append(rows, userRow(strconv.Itoa(i), "user "+strconv.Itoa(i)))
		if i != 3 { // which is to be sent
			m.imported(rows[i])
		}
	}
	p := testPass(&Options{ChunkBytes: 1 << 20, Shard: 2, Shards: 3, Destination: "api.example/team"}, m, rows, 2)
	p.maxTokens = 10
	w := new(ledgerWriter)
	p.recorder = newRecorder(w, checkpoint.Lease{}, p.run, p.ledger, p.kept, p.waitingFor, p.wait, zerolog.Nop())
	over := make(chan error, 1)
	go func() { over <- p.recorder.serve(context.Background()) }()
	if err := p.feed(t.Context(), make(chan *chunk, 1)); err != nil {
		t.Fatal(err)
	}
	close(p.recorder.in)
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	want := []string{"migration 1 run 7 shard 2 page 1", "migration 1 run 7 shard 2 page 2", "migration 1 run 7 shard 2 page 3"}
	if !reflect.DeepEqual(m.pages, want) {
		t.Errorf("got %q looked up, want %q", m.pages, want)
	}
	var numbers []int
	for _, b := range w.batches {
		for _, page := range b.Pages {
			numbers = append(numbers, page.Number)
		}
	}
	if !reflect.DeepEqual(numbers, []int{1, 3}) {
		t.Errorf("got pages %v remembered, want those of which nothing is sent", numbers)
	}
}
