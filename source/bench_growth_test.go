package source

import (
	"fmt"
	"testing"

	"tokenmigrate/migrate/measure"
)

// growthTable has an index on its key and one on a key of two columns. Its rows lie
// in the order of neither, as those of a table that lives do not.
const growthTable = `
CREATE TABLE accounts (id bigint, provider text, subject text, at text, exp bigint);
INSERT INTO accounts SELECT i, 'provider-' || i %% 7, 'user-' || i, 'xoxp-' || md5(i::text), 1800000000 + i
	FROM (SELECT n::bigint * 7919 %% %[1]d AS i FROM generate_series(1, %[1]d) n) s;
CREATE UNIQUE INDEX ON accounts (id);
CREATE UNIQUE INDEX ON accounts (provider, subject)`

// BenchmarkPosition reads pages near the end of a large source, a million rows or as
// many as TOKENMIGRATE_BENCH_POSITION says. The floor reads as many pages near its
// beginning: x-time of one is a page that costs the same wherever it lies.
func BenchmarkPosition(b *testing.B) {
	n := measure.Number(b, "TOKENMIGRATE_BENCH_POSITION", 1_000_000)
	db := newDatabase(b, fmt.Sprintf(growthTable, n), `VACUUM ANALYZE accounts`)
	for _, tt := range []struct {
		name, key  string
		start, end [2]string
	}{
		{"single", `id AS key`, [2]string{fmt.Sprint(n / 100)}, [2]string{fmt.Sprint(n - n/20)}},
		{"composite", `provider AS key, subject AS key_2`, [2]string{"provider-0", "user-2"}, [2]string{"provider-6", "user-6"}},
	} {
		b.Run(tt.name, func(b *testing.B) {
			r := db.open(Options{Query: `SELECT ` + tt.key + `, at AS access_token, exp AS expires_at, subject AS subject_id FROM accounts`, Routes: Routes{Connector: "slack/acme"}})
			defer r.Close()
			const pages = 10
			read := func(from [2]string) func() {
				return func() {
					after := Cursor{set: true, key: from, same: from}
					for range pages {
						page, err := r.Page(b.Context(), after)
						if err != nil || len(page.Rows) != r.o.PageSize {
							b.Fatalf("got %d rows and %v, want a full page", len(page.Rows), err)
						}
						after = page.Next
					}
				}
			}
			measure.Stage(b, pages*r.o.PageSize, read(tt.end), read(tt.start))
		})
	}
}
