package checkpoint

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint/localpg"
	"tokenmigrate/migrate/measure"
)

// The sizes of what benchmarks do: calls of full chunks, and pages of the usual
// size.
const (
	benchChunk = 100
	benchPage  = 1000
)

// benchStore is a checkpoint in which a run has begun, and a connection beside it.
type benchStore struct {
	*testing.B
	*Store
	conn  *pgx.Conn
	lease Lease
	run   int64

	key   func(n string) string // of a token, by its number; nil: the number
	known bool                  // what is recorded has rows, and its content is another one
}

func newBenchStore(b *testing.B) *benchStore {
	b.Helper()
	ctx, url := b.Context(), localpg.Database(b)
	config, err := pgx.ParseConfig(url)
	check(b, err)
	r := &benchStore{B: b}
	r.Store, err = Open(ctx, config, testSchema)
	check(b, err)
	b.Cleanup(r.Store.Close)
	r.conn, err = pgx.ConnectConfig(ctx, config)
	check(b, err)
	b.Cleanup(func() { _ = r.conn.Close(context.Background()) })
	check(b, r.Migrate(ctx))
	m, err := r.CreateMigration(ctx, "bench", func([]byte) map[string]string { return nil })
	check(b, err)
	r.lease, err = r.Acquire(ctx, m.ID, 0, 1, "bench", nil)
	check(b, err)
	r.run, err = r.StartRun(ctx, r.lease, "v1", "run")
	check(b, err)
	return r
}

func check(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// benchHash is a hash that differs for each n, as far from its neighbour's as
// hashes are.
func benchHash(kind byte, n int) Hash {
	var h Hash
	h[0] = 1
	binary.BigEndian.PutUint64(h[1:], uint64(n)*0x9E3779B97F4A7C15)
	h[9] = kind
	binary.BigEndian.PutUint32(h[12:], uint32(n))
	return h
}

// sent are the tokens of a full chunk, the first of them numbered first.
func (r *benchStore) sent(first int) []Sent {
	sent := make([]Sent, benchChunk)
	for i := range sent {
		key, fingerprint := strconv.Itoa(first+i), benchHash(1, first+i)
		if r.key != nil {
			key = r.key(key)
		}
		if r.known {
			fingerprint = benchHash(3, first+i)
		}
		sent[i] = Sent{Key: key, Environment: "production", Fingerprint: fingerprint, Identity: benchHash(2, first+i), Known: r.known}
	}
	return sent
}

// record writes the intents and then the outcomes of calls, each in a transaction
// of its own, as a single sender's are.
func (r *benchStore) record(first, tokens int, outcome Outcome) {
	for at := first; at < first+tokens; at += benchChunk {
		in := Intent{ID: uuid.New(), Connector: "slack/acme", Tokens: r.sent(at), Settle: time.Minute}
		r.write(Batch{Intents: []Intent{in}, Counts: []byte(`{}`)})
		a := Answer{Call: in.ID, Endings: make([]Ending, len(in.Tokens))}
		for i := range in.Tokens {
			a.Endings[i] = Ending{Sent: in.Tokens[i], Outcome: outcome, Succeeded: new(outcome == Imported)}
		}
		r.write(Batch{Answers: []Answer{a}, Counts: []byte(`{}`)})
	}
}

func (r *benchStore) write(batch Batch) {
	out, err := r.Record(context.Background(), r.lease, r.run, batch)
	if err == nil && (out.LeaseLost || len(out.Settled) > 0) {
		err = fmt.Errorf("not written: %+v", out)
	}
	if err != nil {
		r.Fatal(err)
	}
}

// BenchmarkRecord records intents and outcomes of full chunks. The floor copies a
// key and an outcome for each token in, chunk by chunk.
func BenchmarkRecord(b *testing.B) {
	const tokens = 10_000
	r := newBenchStore(b)
	if _, err := r.conn.Exec(b.Context(), `CREATE TABLE floor (key text, succeeded boolean)`); err != nil {
		b.Fatal(err)
	}
	next := 0
	measure.Stage(b, tokens, func() {
		r.record(next, tokens, Imported)
		next += tokens
	}, func() {
		var lines bytes.Buffer
		for at := 0; at < tokens; at += benchChunk {
			lines.Reset()
			for i := range benchChunk {
				lines.WriteString(strconv.Itoa(at+i) + "\ttrue\n")
			}
			if _, err := r.conn.PgConn().CopyFrom(context.Background(), &lines, `COPY floor FROM STDIN`); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkLookup looks pages of tokens up that the checkpoint knows, a hundred
// thousand in all, with who owns their identities, as for tokens that changed. Nobody
// has analyzed the table, as it is in a first run. The floor copies the same rows out
// at once.
func BenchmarkLookup(b *testing.B) {
	benchLookup(b, 0, func(r *benchStore, identities []Hash) error {
		owners, err := r.Owners(context.Background(), r.lease.Migration, identities)
		if err == nil && len(owners.Sent) != benchPage {
			err = fmt.Errorf("got %d owners", len(owners.Sent))
		}
		return err
	})
}

// BenchmarkLookupSettled is the same for tokens that are imported as they are, as in
// a second run: nobody asks for their owners.
func BenchmarkLookupSettled(b *testing.B) {
	benchLookup(b, 1, func(*benchStore, []Hash) error { return nil })
}

func benchLookup(b *testing.B, fingerprint byte, more func(*benchStore, []Hash) error) {
	const tokens = 100_000
	r := newBenchStore(b)
	r.record(0, tokens, Imported)
	measure.Stage(b, tokens, func() {
		asked, identities := make([]Asked, benchPage), make([]Hash, benchPage)
		for at := 0; at < tokens; at += benchPage {
			for i := range asked {
				asked[i], identities[i] = Asked{strconv.Itoa(at + i), benchHash(fingerprint, at+i)}, benchHash(2, at+i)
			}
			priors, err := r.Priors(context.Background(), r.lease.Migration, asked)
			if err == nil {
				err = more(r, identities)
			}
			if err != nil || priors[0].Outcome != Imported || priors[benchPage-1].Outcome != Imported {
				b.Fatalf("got %+v and %v", priors[0], err)
			}
		}
	}, func() {
		if _, err := r.conn.PgConn().CopyTo(context.Background(), io.Discard, r.in(`COPY (SELECT key, outcome, fingerprint, imported_fingerprint, identity FROM {schema}.tokens) TO STDOUT`)); err != nil {
			b.Fatal(err)
		}
	})
}
