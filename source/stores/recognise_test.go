package stores

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// recognise is Recognise of a database.
func recognise(t *testing.T, config *pgx.ConnConfig, limits Limits) *Survey {
	t.Helper()
	s, err := Recognise(t.Context(), config, limits)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Every store is recognised in each of its variants, with all its rows, and the
// parameters that are told lead to the same place again.
func TestRecognise_EveryStore(t *testing.T) {
	each(t, func(f *fixture) bool { return len(f.given) == 0 }, func(t *testing.T, f *fixture, config *pgx.ConnConfig) {
		s := recognise(t, config, Limits{})
		if len(s.Found) != 1 {
			t.Fatalf("found: got %d places, want one", len(s.Found))
		}
		found := s.Found[0]
		if found.Store.Name != f.store || found.Problem != nil {
			t.Fatalf("got %s, %v, want %s", found.Store.Name, found.Problem, f.store)
		}
		if c := found.Counts; !c.Exact || c.Rows != int64(len(f.want)) || c.Tokens() > c.Rows {
			t.Errorf("counts: got %+v, want exactly %d rows", c, len(f.want))
		}
		if f.keys == nil && f.decrypted == 0 && found.Sample.Encrypted > 0 && !slices.Contains(slices.Collect(maps.Values(f.want)), "decrypt_failed") {
			t.Errorf("encrypted: got %d rows of a plain store", found.Sample.Encrypted)
		}
		if f.keys != nil && (found.Sample.Locked == 0 || len(found.Sample.Keys) == 0) {
			t.Errorf("keys: got none, want some of %v: %+v", slices.Sorted(maps.Keys(f.keys)), found.Sample)
		}
		for key := range found.Sample.Keys {
			k, _ := found.Store.Key(key)
			if _, given := f.keys[key]; !given && k.Needed == nil {
				t.Errorf("keys: got %s, want only those that open its values: %v", key, slices.Sorted(maps.Keys(f.keys)))
			}
		}
		plan, err := found.Store.Prepare(t.Context(), config, found.Params, f.keys)
		if err != nil {
			t.Fatalf("with the parameters %v: %v", found.Params, err)
		}
		if plan.Query != found.Query {
			t.Errorf("with the parameters %v the query is\n%s\nwant\n%s", found.Params, plan.Query, found.Query)
		}
	})
}

// Two tables of one store are told apart, also when one may not be read, and what
// has most tokens comes first.
func TestRecognise_SeveralOfOneStore(t *testing.T) {
	const table = `CREATE TABLE %s (id serial PRIMARY KEY, "userId" int NOT NULL, type text, provider text, "providerAccountId" text,
		access_token text, refresh_token text, expires_at bigint, scope text)`
	const row = `INSERT INTO %s ("userId", type, provider, access_token) SELECT n, 'oauth', 'google', 't' FROM generate_series(1, %d) n`
	config := newDatabase(t, "CREATE SCHEMA other", fmt.Sprintf(table, "accounts"), fmt.Sprintf(table, `other.accounts`), fmt.Sprintf(table, "more"),
		fmt.Sprintf(row, "accounts", 1), fmt.Sprintf(row, "other.accounts", 3), fmt.Sprintf(row, "more", 2), "CREATE VIEW a AS SELECT * FROM other.accounts")
	s := recognise(t, config, Limits{})
	var got []string
	for _, f := range s.Found {
		got = append(got, fmt.Sprintf("%d of %v", f.Counts.Tokens(), f.Params))
	}
	want := []string{"3 of map[table:other.accounts]", "3 of map[table:a]", "2 of map[table:more]", "1 of map[table:accounts]"}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, f := range s.Found {
		if plan, err := f.Store.Prepare(t.Context(), config, f.Params, nil); err != nil || plan.Query != f.Query {
			t.Errorf("with %v: got %v and another query, want this place", f.Params, err)
		}
	}
}

// Where counting takes too long, the estimate and the first rows stand for it.
func TestRecognise_LargeTables(t *testing.T) {
	config := newDatabase(t,
		`CREATE TABLE rows AS SELECT n AS id, n AS "userId", 'oauth' AS type, CASE WHEN n % 4 = 0 THEN 'github' ELSE 'google' END AS provider, 'a' AS "providerAccountId",
			't' AS access_token, 't' AS refresh_token, 1893456000::bigint AS expires_at, 's' AS scope FROM generate_series(1, 60000) n`,
		`ALTER TABLE rows ADD PRIMARY KEY (id)`, `ANALYZE rows`,
		// Each row takes a while, so that all of them take too long on any machine.
		`CREATE VIEW accounts AS SELECT id, "userId", type, provider || coalesce(substr(pg_sleep(0.001)::text, 1, 0), '') AS provider, "providerAccountId", access_token, refresh_token, expires_at, scope FROM rows`)
	s := recognise(t, config, Limits{Count: 2 * time.Second, First: 100})
	i := slices.IndexFunc(s.Found, func(f *Found) bool { return f.Match.Tables[0].Name == "accounts" })
	if i < 0 {
		t.Fatalf("the view was not found among %d", len(s.Found))
	}
	c := s.Found[i].Counts
	if c.Exact || c.Of != 100 || len(c.Providers) != 2 || c.Providers[0].Provider != "google" || c.Providers[0].Tokens != 75 {
		t.Errorf("counts: got %+v, want those of the first 100 rows", c)
	}
	if c.Rows != 60000 || c.Tokens() != 60000 {
		t.Errorf("estimates: got %d rows, %d tokens, want 60000", c.Rows, c.Tokens())
	}
	if s.Found[i].Problem != nil {
		t.Errorf("problem: got %v, want none", s.Found[i].Problem)
	}
}

// Tables that look like token stores are told from those that do not.
func TestRecognise_Drafts(t *testing.T) {
	for _, c := range []struct {
		name, table string
		want        string // the query; "" if it does not look like one
		missing     string
		says        string // in one of the notes
	}{
		{"a plain table", `id bigint PRIMARY KEY, service text, user_id uuid NOT NULL, access_token text, refresh_token text, expires_at timestamptz, scope text, workspace_id text`,
			"SELECT id AS key,\n  service AS provider,\n  access_token AS access_token,\n  refresh_token AS refresh_token,\n  expires_at AS expires_at,\n  user_id AS subject_id,\n  scope AS scopes,\n  workspace_id AS tenant\nFROM t", "", ""},
		{"lifetimes", `id int PRIMARY KEY, "userId" int, "accessToken" text, "expiresIn" int, "updatedAt" timestamptz`,
			"SELECT id AS key,\n  \"accessToken\" AS access_token,\n  \"updatedAt\" + \"expiresIn\" * interval '1 second' AS expires_at,\n  \"userId\" AS subject_id\nFROM t", "", "updatedAt changes only when the token does"},
		{"a response in JSON", `id int PRIMARY KEY, user_id int, provider int, credentials jsonb`,
			"SELECT id AS key,\n  provider::text AS provider,\n  credentials ->> 'access_token' AS access_token,\n  credentials ->> 'refresh_token' AS refresh_token,\n  user_id AS subject_id\nFROM t", "", "No column tells when"},
		{"encrypted", `id int PRIMARY KEY, user_id int, access_token_encrypted bytea`,
			"SELECT id AS key,\n  access_token_encrypted AS access_token,\n  user_id AS subject_id\nFROM t", "", "No column tells when"},
		{"of nobody", `id int PRIMARY KEY, access_token text, refresh_token text`,
			"SELECT id AS key,\n  access_token AS access_token,\n  refresh_token AS refresh_token\nFROM t", "subject_id", "says whose the token is"},
		{"without a key", `user_id int, access_token text, refresh_token text`,
			"SELECT access_token AS access_token,\n  refresh_token AS refresh_token,\n  user_id AS subject_id\nFROM t", "key", "tells rows apart"},
		{"sessions", `id text PRIMARY KEY, token text NOT NULL, user_id text, expires_at timestamptz, ip text`, "", "", ""},
		{"settings", `id int PRIMARY KEY, tokens_used int, access_token_count int, credentials text`, "", "", ""},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			s := recognise(t, newDatabase(t, "CREATE TABLE t ("+c.table+")"), Limits{})
			if len(s.Found) > 0 {
				t.Fatalf("found: got %s, want none", s.Found[0].Store.Name)
			}
			if len(s.Drafts) == 0 {
				if c.want != "" {
					t.Fatal("it does not look like a store of tokens")
				}
				return
			}
			d := s.Drafts[0]
			if d.Query != c.want || strings.Join(d.Missing, ",") != c.missing {
				t.Errorf("got\n%s\nwithout %v, want\n%s\nwithout %s", d.Query, d.Missing, c.want, c.missing)
			}
			if !strings.Contains(strings.Join(d.Notes, "\n"), c.says) {
				t.Errorf("notes: got %q, want %q in one", d.Notes, c.says)
			}
			if d.Problem != nil {
				t.Errorf("problem: got %v, want none", d.Problem)
			}
			if node := func(s *Store) bool { return s.Name == "node-aes" }; d.Complete() && !slices.ContainsFunc(d.Stores, node) {
				t.Errorf("stores: got %d without node-aes, want it", len(d.Stores))
			}
		})
	}
}

// Supabase Auth's tables are answered for, and not taken for a store: its
// flow_state has columns like one.
func TestRecognise_SupabaseAuth(t *testing.T) {
	config := newDatabase(t, "CREATE SCHEMA auth",
		`CREATE TABLE auth.users (id uuid PRIMARY KEY, email text, raw_app_meta_data jsonb)`,
		`CREATE TABLE auth.identities (id uuid PRIMARY KEY, provider_id text, user_id uuid, identity_data jsonb, provider text)`,
		`CREATE TABLE auth.flow_state (id uuid PRIMARY KEY, user_id uuid, provider_type text, provider_access_token text, provider_refresh_token text)`,
		`CREATE TABLE public.integrations (id int PRIMARY KEY, user_id uuid, provider text, access_token text, refresh_token text)`)
	s := recognise(t, config, Limits{})
	if len(s.Found) != 0 || len(s.Answers) != 1 || s.Answers[0].Name != "supabase-auth" {
		t.Errorf("got %d places and %d answers, want Supabase Auth's answer", len(s.Found), len(s.Answers))
	}
	if len(s.Drafts) != 1 || s.Drafts[0].Table.Name != "integrations" {
		t.Errorf("drafts: got %d, want the table of the team's own", len(s.Drafts))
	}
}

// A store that began to encrypt late has its encrypted values at the end.
func TestRecognise_LooksAtBothEnds(t *testing.T) {
	const table = `CREATE TABLE account (id int PRIMARY KEY, "accountId" text, "providerId" text, "userId" text, "accessToken" text, "refreshToken" text, "accessTokenExpiresAt" timestamptz, scope text)`
	const rows = `INSERT INTO account SELECT n, n, 'google', n, CASE WHEN n = 1500 THEN '$ba$2$' || repeat('ab', 60) ELSE 'ya29.' || n END, NULL, CASE WHEN n > 1499 THEN now() END, 's' FROM generate_series(1, 1500) n`
	s := recognise(t, newDatabase(t, table, rows), Limits{})
	if len(s.Found) != 1 {
		t.Fatalf("found: got %d, want one", len(s.Found))
	}
	f := s.Found[0]
	if f.Sample.Rows != 2*sampleRows || f.Sample.Locked != 1 || f.Sample.Plain != 2*sampleRows-1 || !f.Sample.Keys["secrets"] || f.Sample.Keys["secret"] {
		t.Errorf("sample: got %+v, want one row in %d that calls for secrets", f.Sample, 2*sampleRows)
	}
	if f.Counts.Providers[0].NoExpiry != 1499 {
		t.Errorf("without expiry: got %d, want 1499", f.Counts.Providers[0].NoExpiry)
	}
}
