package checkpoint

import (
	"strings"
	"testing"

	"tokenmigrate/migrate/measure"
)

// BenchmarkSize tells how many bytes the checkpoint takes for each row, in its
// tables and their indexes, and what a hundred million rows take: after a run that
// imported two hundred thousand tokens, or as many as TOKENMIGRATE_BENCH_SIZE says,
// after a second run in which all of them had changed, the most that one run can
// leave behind, and after the VACUUM that autovacuum would have made.
func BenchmarkSize(b *testing.B) {
	tokens := measure.Number(b, "TOKENMIGRATE_BENCH_SIZE", 200_000) / benchChunk * benchChunk
	for _, keys := range []struct{ name, of string }{
		{"number", "100000000"}, {"uuid", "0b6ae2b1-5f55-4c39-8b5c-3f0000000000"},
	} {
		b.Run(keys.name, func(b *testing.B) {
			r := newBenchStore(b)
			r.key = func(n string) string { return keys.of[:len(keys.of)-len(n)] + n }
			r.record(0, tokens, Imported)
			r.reportSize(b, "imported", tokens)
			r.known = true
			r.record(0, tokens, Imported)
			r.reportSize(b, "changed", tokens)
			if _, err := r.conn.Exec(b.Context(), r.in(`VACUUM {schema}.tokens`)); err != nil {
				b.Fatal(err)
			}
			r.record(0, tokens, Imported)
			r.reportSize(b, "changed again, vacuumed between", tokens)
		})
	}
}

// reportSize reports the size of what the checkpoint holds now, in a benchmark of
// its own.
func (r *benchStore) reportSize(b *testing.B, name string, tokens int) {
	b.Run(name, func(b *testing.B) {
		for b.Loop() {
		}
		b.ReportMetric(0, "ns/op")
		total := 0.0
		for what, sql := range map[string]string{
			"heap":     `SELECT pg_table_size('{schema}.tokens')`,
			"primary":  `SELECT pg_relation_size('{schema}.tokens_pkey')`,
			"identity": `SELECT pg_relation_size('{schema}.tokens_identity')`,
			"others": `SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c
				WHERE relnamespace = '{schema}'::regnamespace AND relkind = 'r' AND relname <> 'tokens'`,
		} {
			var size int64
			if err := r.conn.QueryRow(b.Context(), strings.ReplaceAll(sql, "{schema}", r.quoted)).Scan(&size); err != nil {
				b.Fatal(err)
			}
			if what == "others" { // they do not grow with the rows
				b.ReportMetric(float64(size)/(1<<20), "others-MiB")
				continue
			}
			total += float64(size)
			b.ReportMetric(float64(size)/float64(tokens), what+"-B/row")
		}
		b.ReportMetric(total/float64(tokens)*100e6/(1<<30), "GiB/100M")
	})
}
