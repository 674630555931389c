package source

import (
	"io"
	"testing"
)

// benchTable is shaped like a usual table of accounts.
const benchTable = `
CREATE TABLE accounts (id bigint PRIMARY KEY, provider text, at text, rt text, exp bigint, scope text, usr uuid);
INSERT INTO accounts SELECT i, 'slack', 'xoxp-' || repeat(md5(i::text), 3), 'xoxr-' || repeat(md5(i::text), 2),
  1800000000 + i, 'users:read,chat:write,channels:read', md5(i::text)::uuid FROM generate_series(1, 100000) i;
ANALYZE accounts`

const benchQuery = `SELECT id AS key, provider, at AS access_token, rt AS refresh_token, exp AS expires_at, scope AS scopes, usr AS subject_id FROM accounts`

// BenchmarkPage reads and maps 100,000 rows a round; BenchmarkCopy is the floor
// of what any client pays for the same bytes.
func BenchmarkPage(b *testing.B) {
	db := newDatabase(b, benchTable)
	r := db.open(Options{Query: benchQuery, Routes: Routes{ByProvider: map[string]string{"slack": "slack/acme"}}})
	b.ReportAllocs()
	for b.Loop() {
		var after Cursor
		n := 0
		for {
			page, err := r.Page(b.Context(), after)
			if err != nil {
				b.Fatal(err)
			}
			n += len(page.Rows)
			if after = page.Next; page.End {
				break
			}
		}
		if n != 100_000 {
			b.Fatalf("got %d rows, want 100000", n)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/100_000, "µs/row")
}

func BenchmarkCopy(b *testing.B) {
	db := newDatabase(b, benchTable)
	for b.Loop() {
		if _, err := db.PgConn().CopyTo(b.Context(), io.Discard, "COPY ("+benchQuery+") TO STDOUT"); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/100_000, "µs/row")
}
