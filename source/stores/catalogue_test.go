package stores

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Every word that the server takes for no name comes quoted.
func TestIdent_QuotesTheServersReservedWords(t *testing.T) {
	conn, err := pgx.ConnectConfig(t.Context(), newDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	rows, err := conn.Query(t.Context(), "SELECT word FROM pg_get_keywords() WHERE catcode IN ('R', 'T')")
	if err != nil {
		t.Fatal(err)
	}
	words, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(words) < 90 {
		t.Fatalf("got %d words, %v", len(words), err)
	}
	for _, word := range words {
		if got, want := ident(word), `"`+word+`"`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for _, plain := range []string{"accounts", "name", "value", "a1_b"} {
		if got := ident(plain); got != plain {
			t.Errorf("got %s, want %s as it is", got, plain)
		}
	}
}
