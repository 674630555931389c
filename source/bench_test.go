package source

import (
	"fmt"
	"io"
	"testing"
	"time"

	"tokenmigrate/migrate/measure"
)

// benchRows is how many rows a round of a benchmark reads or maps.
const benchRows = 100_000

// benchTable is shaped like a usual table of accounts.
const benchTable = `
CREATE TABLE accounts (id bigint PRIMARY KEY, provider text, at text, rt text, exp bigint, scope text, usr uuid);
INSERT INTO accounts SELECT i, 'slack', 'xoxp-' || repeat(md5(i::text), 3), 'xoxr-' || repeat(md5(i::text), 2),
  1800000000 + i, 'users:read,chat:write,channels:read', md5(i::text)::uuid FROM generate_series(1, %d) i`

const benchQuery = `SELECT id AS key, provider, at AS access_token, rt AS refresh_token, exp AS expires_at, scope AS scopes, usr AS subject_id FROM accounts`

var benchOptions = Options{Query: benchQuery, Routes: Routes{ByProvider: map[string]string{"slack": "slack/acme"}}}

// newBenchDatabase has a table of n accounts.
func newBenchDatabase(b *testing.B, n int) *database {
	b.Helper()
	return newDatabase(b, fmt.Sprintf(benchTable, n), `VACUUM ANALYZE accounts`)
}

// BenchmarkPage reads and maps all rows, page by page. The floor copies the same
// columns out at once.
func BenchmarkPage(b *testing.B) {
	db := newBenchDatabase(b, benchRows)
	r := db.open(benchOptions)
	measure.Stage(b, benchRows, func() {
		n := 0
		for after, end := (Cursor{}), false; !end; {
			page, err := r.Page(b.Context(), after)
			if err != nil {
				b.Fatal(err)
			}
			n, after, end = n+len(page.Rows), page.Next, page.End
		}
		if n != benchRows {
			b.Fatalf("got %d rows, want %d", n, benchRows)
		}
	}, func() {
		if _, err := db.PgConn().CopyTo(b.Context(), io.Discard, "COPY ("+benchQuery+") TO STDOUT"); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkMap maps and validates rows that are read already. The floor copies each
// row's values into one string.
func BenchmarkMap(b *testing.B) {
	const some = 1000
	db := newBenchDatabase(b, some)
	r := db.open(benchOptions)
	rows := rawRows(b, db, r)
	now := time.Now()
	measure.Stage(b, benchRows, func() {
		for range benchRows / some {
			sink := r.newSink(now, some)
			for _, values := range rows {
				sink.add("key", values)
			}
			for _, row := range sink.finish() {
				if row.Reason != "" {
					b.Fatalf("a row is %s: %s", row.Reason, row.Detail)
				}
			}
		}
	}, func() {
		var scratch []byte
		kept := make([]string, 0, some)
		for range benchRows / some {
			kept = kept[:0]
			for _, values := range rows {
				scratch = scratch[:0]
				for _, v := range values {
					scratch = append(scratch, v...)
				}
				kept = append(kept, string(scratch))
			}
		}
	})
}

// rawRows returns the values of all rows as a page has them.
func rawRows(b *testing.B, db *database, r *Reader) (rows [][][]byte) {
	b.Helper()
	result := db.PgConn().ExecParams(b.Context(), r.sql.firstPage.text, [][]byte{[]byte("1000")}, []uint32{20}, nil, r.formats)
	for result.NextRow() {
		var values [][]byte
		for _, v := range result.Values() {
			values = append(values, append([]byte(nil), v...))
		}
		rows = append(rows, values)
	}
	if _, err := result.Close(); err != nil {
		b.Fatal(err)
	}
	return rows
}
