package stores

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// found returns the one place that a survey found.
func found(t *testing.T, s *Survey) *Found {
	t.Helper()
	if len(s.Found) != 1 {
		t.Fatalf("found: got %d places, want one", len(s.Found))
	}
	return s.Found[0]
}

// What is no provider's name is counted and not told: it may be a token.
func TestRecognise_ProvidersThatAreNone(t *testing.T) {
	const add = `INSERT INTO accounts ("userId", type, provider, access_token) SELECT n, 'oauth', %s, 't' FROM generate_series(%d, %d) n; `
	for _, c := range []struct {
		name, rows string
		told       []string // providers
		untold     int64
		more       bool
	}{
		{"names", fmt.Sprintf(add, "'google'", 1, 3), []string{"google"}, 0, false},
		{"credentials and mail among names", fmt.Sprintf(add, "'google'", 1, 2) + fmt.Sprintf(add, "'xoxb-1234-secret' || n", 3, 4) + fmt.Sprintf(add, "'a@example.com'", 5, 5) +
			fmt.Sprintf(add, "repeat('x', 65)", 6, 6), []string{"google"}, 4, false},
		{"a value for each row", fmt.Sprintf(add, "'hush' || n", 1, 30), nil, 30, false},
		{"many", fmt.Sprintf(add, "'p' || n % 300", 1, 900), nil, 300, true},
		{"very many", fmt.Sprintf(add, "'p' || n % 1100", 1, 3300), nil, 2700, true},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			counts := found(t, recognise(t, newDatabase(t, "CREATE TABLE accounts"+authjsAccounts, c.rows), Limits{})).Counts
			var told []string
			var untold, all int64
			for _, p := range counts.Providers {
				all += p.Rows
				if p.Untold {
					untold += p.Tokens
				} else {
					told = append(told, p.Provider)
				}
			}
			if c.more {
				if len(told) != providersAtMost {
					t.Errorf("told: got %d, want %d", len(told), providersAtMost)
				}
			} else if !slices.Equal(told, c.told) {
				t.Errorf("told: got %q, want %q", told, c.told)
			}
			if untold != c.untold || counts.More != c.more || all != counts.Rows || counts.Tokens() != counts.Rows {
				t.Errorf("got %d untold, more %t, %d of %d rows and %d tokens; want %d, %t and all rows", untold, counts.More, all, counts.Rows, counts.Tokens(), c.untold, c.more)
			}
		})
	}
}

// A database may hold bytes of no encoding.
func TestRecognise_NoEncoding(t *testing.T) {
	config := newDatabase(t)
	name := config.Database + "_ascii"
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+name+" ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_, _ = conn.Exec(context.WithoutCancel(t.Context()), "DROP DATABASE "+name)
	}()
	ascii := config.Copy()
	ascii.Database = name
	execute(t, ascii, "CREATE TABLE accounts"+authjsAccounts,
		`INSERT INTO accounts ("userId", type, provider, access_token) VALUES (1, 'oauth', 'google', 't'), (2, 'oauth', E'caf\351', 't')`)
	f := found(t, recognise(t, ascii, Limits{}))
	if f.Problem != nil || f.Counts.Rows != 2 || len(f.Counts.Providers) != 2 || f.Counts.Providers[0].Provider != "google" || !f.Counts.Providers[1].Untold {
		t.Errorf("got %+v, %v; want Google, and one that is not told", f.Counts, f.Problem)
	}
}

// One connection at a time is enough, and where there is not even that, the rest is
// told all the same.
func TestRecognise_OneConnection(t *testing.T) {
	config := newDatabase(t, "CREATE TABLE accounts"+authjsAccounts, `INSERT INTO accounts ("userId", type, provider, access_token) VALUES (1, 'oauth', 'google', 't')`)
	role := reader(t, config)
	execute(t, config, "ALTER ROLE "+ident(role.User)+" CONNECTION LIMIT 1")
	f := found(t, recognise(t, role, Limits{}))
	if f.Problem != nil || f.Counts.Rows != 1 || f.Sample.Rows != 1 {
		t.Errorf("got %+v, %+v, %v; want one row, counted and looked at", f.Counts, f.Sample, f.Problem)
	}
}

// There is an end to looking, however many slow places there are.
func TestRecognise_EndsInTime(t *testing.T) {
	statements := []string{`CREATE TABLE rows AS SELECT n AS id, n AS "userId" FROM generate_series(1, 100000) n`, `ANALYZE rows`}
	for i := range 5 {
		statements = append(statements, fmt.Sprintf(`CREATE VIEW accounts%d AS SELECT id, "userId", 'oauth'::text AS type, 'google' || coalesce(substr(pg_sleep(0.01)::text, 1, 0), '') AS provider,
			'a'::text AS "providerAccountId", 't'::text AS access_token, 't'::text AS refresh_token, 1893456000::bigint AS expires_at, 's'::text AS scope FROM rows`, i))
	}
	config := newDatabase(t, statements...)
	s := recognise(t, config, Limits{Count: time.Second, All: 2 * time.Second})
	if len(s.Found) != 5 {
		t.Fatalf("found: got %d places, want 5", len(s.Found))
	}
	tried := 0
	for _, f := range s.Found {
		if f.Counts.slow {
			tried++
		}
		if f.Counts.Exact || f.Counts.Rows != 100000 || f.Problem != nil {
			t.Errorf("%s: got %+v, %v; want an estimate", f.Match.Variant, f.Counts, f.Problem)
		}
	}
	if tried > 2 {
		t.Errorf("counted in vain at %d places, a second each, want no more than fit into 2 s", tried)
	}
}
