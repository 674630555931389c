package source

import (
	"context"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tokenmigrate/checkpoint/localpg/bouncer"
)

// TestReader_WorksThroughPgBouncer: transaction mode, one server connection for
// two readers that take turns, and startup parameters refused as by default.
func TestReader_WorksThroughPgBouncer(t *testing.T) {
	db := newDatabase(t, "CREATE TABLE accounts AS SELECT generate_series(1, 50) AS id")
	pooled, err := pgx.ParseConfig(bouncer.Start(t, db.url, "transaction", 1))
	if err != nil {
		t.Fatal(err)
	}
	open := func() *Reader {
		r, err := Open(t.Context(), pooled, Options{Query: accounts, PageSize: 7, Routes: slack})
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		t.Cleanup(r.Close)
		return r
	}
	one, two := open(), open()
	var afterOne, afterTwo Cursor
	for got := 0; ; {
		pageOne, err := one.Page(t.Context(), afterOne)
		if err != nil {
			t.Fatal(err)
		}
		pageTwo, err := two.Page(t.Context(), afterTwo)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := keysOf(pageOne.Rows), keysOf(pageTwo.Rows); !slices.Equal(a, b) {
			t.Errorf("got %q and %q, want the same", a, b)
		}
		got += len(pageOne.Rows)
		afterOne, afterTwo = pageOne.Next, pageTwo.Next
		if pageOne.End {
			if got != 50 {
				t.Errorf("got %d rows, want 50", got)
			}
			break
		}
	}
	if err := one.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	if rows, err := two.Rows(t.Context(), []string{"7", "8"}); err != nil || len(rows) != 2 {
		t.Errorf("read again: got %d rows, %v, want 2", len(rows), err)
	}
	// A session of somebody else's in the same server connection finds its settings
	// as they were.
	conn, err := pgconn.ConnectConfig(t.Context(), &pooled.Config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	results, err := conn.Exec(t.Context(), "SELECT current_setting('row_security') || current_setting('transaction_read_only') || current_setting('statement_timeout')").ReadAll()
	if err != nil || string(results[0].Rows[0][0]) != "onoff0" {
		t.Errorf("got settings %v (%v), want them untouched", results, err)
	}
}
