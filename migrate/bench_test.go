package migrate

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"tokenmigrate/migrate/connect"
	"tokenmigrate/migrate/measure"
	"tokenmigrate/source"
)

// benchRows is how many rows a round of a benchmark judges or hashes.
const benchRows = 20_000

// manyRows are rows like those of a usual store.
func manyRows(n int) []source.Row {
	rows := make([]source.Row, n)
	for i := range rows {
		rows[i] = userRow(fmt.Sprint(i), fmt.Sprintf("U0123456789%d", i))
		rows[i].Token.AccessToken = connect.NewSecret(fmt.Sprintf("xoxe.xoxp-1-%s%d", strings.Repeat("Ab3d", 16), i))
		rows[i].Token.RefreshToken = connect.NewSecret(fmt.Sprintf("xoxe-1-%s%d", strings.Repeat("Ef4h", 16), i))
	}
	return rows
}

// BenchmarkFingerprint takes the fingerprint and the identity of each row. The
// floor is one bare SHA-256 of each token's JSON, which is ready.
func BenchmarkFingerprint(b *testing.B) {
	rows, h := manyRows(benchRows), testHasher()
	ready := make([][]byte, len(rows))
	for i := range rows {
		ready[i] = rows[i].Token.AppendJSON(nil)
	}
	measure.Stage(b, benchRows, func() {
		for i := range rows {
			h.fingerprint(&rows[i])
			h.identity(&rows[i])
		}
	}, func() {
		for _, text := range ready {
			sha256.Sum256(text)
		}
	})
}

// BenchmarkMatch finds each token's result in the answers to full chunks. The floor
// looks each token's subject up in a map of the results, whatever else they say.
func BenchmarkMatch(b *testing.B) {
	const chunkTokens = 100
	rows := manyRows(chunkTokens)
	tokens, results := make([]connect.Token, len(rows)), make([]connect.Result, len(rows))
	for i := range rows {
		t := rows[i].Token
		tokens[i], results[i] = t, connect.Result{Succeeded: new(true), HasSubject: true, Subject: t.Subject, Environment: t.Environment}
	}
	measure.Stage(b, benchRows, func() {
		for range benchRows / chunkTokens {
			if m := match(tokens, results); m.named != chunkTokens {
				b.Fatalf("got %d results, want %d", m.named, chunkTokens)
			}
		}
	}, func() {
		for range benchRows / chunkTokens {
			bySubject := make(map[string]*bool, len(results))
			for i := range results {
				bySubject[results[i].Subject.ID] = results[i].Succeeded
			}
			for i := range tokens {
				if said := bySubject[tokens[i].Subject.ID]; said == nil || !*said {
					b.Fatal("a token has no result")
				}
			}
		}
	})
}
