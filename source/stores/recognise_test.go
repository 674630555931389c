package stores

import (
	"encoding/base64"
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
		{"a style of its own", `"Id" uuid PRIMARY KEY, "Provider" text, "UserId" uuid, "AccessToken" text, "RefreshToken" text, "ExpiresAt" timestamptz, "Scopes" text[]`,
			"SELECT \"Id\" AS key,\n  \"Provider\" AS provider,\n  \"AccessToken\" AS access_token,\n  \"RefreshToken\" AS refresh_token,\n  \"ExpiresAt\" AS expires_at,\n  \"UserId\" AS subject_id,\n  \"Scopes\" AS scopes\nFROM t", "", ""},
		{"dead rows", `id int PRIMARY KEY, user_id int, access_token text, refresh_token text, expires_at timestamptz, deleted boolean, revoked_at timestamptz`,
			"SELECT id AS key,\n  access_token AS access_token,\n  refresh_token AS refresh_token,\n  expires_at AS expires_at,\n  user_id AS subject_id\nFROM t\nWHERE deleted IS NOT TRUE\n  AND revoked_at IS NULL", "", "revoked_at marks are left out"},
		{"rows dead by a text", `id int PRIMARY KEY, user_id int, access_token text, refresh_token text, expires_at timestamptz, is_revoked smallint`,
			"SELECT id AS key,\n  access_token AS access_token,\n  refresh_token AS refresh_token,\n  expires_at AS expires_at,\n  user_id AS subject_id\nFROM t\nWHERE coalesce(is_revoked::text, '') IN ('', 'false', 'f', 'no', '0')", "", "left out"},
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

const renamedBetterAuth = `CREATE TABLE account (id text PRIMARY KEY, "accountId" text, "providerId" text, "userId" text, x_accesstoken text, "refreshToken" text, "accessTokenExpiresAt" timestamptz, "refreshTokenExpiresAt" timestamptz, scope text)`

// A store's table with a renamed column is recognised by the others.
func TestRecognise_RenamedColumn(t *testing.T) {
	config := newDatabase(t, renamedBetterAuth, `INSERT INTO account VALUES ('a', 'x', 'google', 'u', 'ya29.one', NULL, now(), NULL, 's')`)
	s := recognise(t, config, Limits{})
	if len(s.Found) != 1 || s.Found[0].Store.Name != "better-auth" || !slices.Equal(s.Found[0].Except, []string{"accessToken"}) {
		t.Fatalf("got %+v, want Better Auth except accessToken", s.Found[0])
	}
	f := s.Found[0]
	if want := (Params{"table": "account", "access_token": "x_accesstoken"}); !maps.Equal(f.Params, want) || f.Counts.Tokens() != 1 || f.Problem != nil {
		t.Errorf("got parameters %v, %d tokens, %v; want %v and one", f.Params, f.Counts.Tokens(), f.Problem, want)
	}
	if plan, err := f.Store.Prepare(t.Context(), config, f.Params, nil); err != nil || plan.Query != f.Query {
		t.Errorf("with %v: got %v and another query, want this place", f.Params, err)
	}
}

// Drafts tell providers by provider_id, and encrypted values by their columns'
// names and their forms.
func TestRecognise_SealedDrafts(t *testing.T) {
	hexes := func(sizes ...int) string {
		var parts []string
		for _, n := range sizes {
			parts = append(parts, strings.Repeat("a1", n))
		}
		return strings.Join(parts, ":")
	}
	b64s := func(separator string, sizes ...int) string {
		var parts []string
		for _, n := range sizes {
			parts = append(parts, base64.StdEncoding.EncodeToString([]byte(strings.Repeat("~", n))))
		}
		return strings.Join(parts, separator)
	}
	beside := func(columns string) string { return strings.Repeat("'x', ", strings.Count(columns, ",")) }
	pgp := sealedValue("pgcrypto-15", "defaults")
	for _, c := range []struct {
		name, columns, access string
		store                 string // "": a query
		params                Params
		sealed                string
	}{
		{"plain", "access_token text", "xoxb-1", "", nil, ""},
		{"by its name", "access_token_enc text", "AAECAwQFBgc=", "node-aes", Params{"table": "t"}, "access_token_enc is called so"},
		{"by its form", "access_token text", hexes(12, 16, 40), "node-aes", Params{"table": "t"}, "in 1 of 1 rows looked at"},
		{"with the tag last", "access_token text", hexes(12, 40, 16), "node-aes", Params{"table": "t", "layout": "iv:ct:tag"}, "AES with its IV"},
		{"in JSON", "access_token text", `{"iv": "00", "data": "11"}`, "node-aes", Params{"table": "t", "layout": "json"}, "a JSON envelope"},
		{"a renamed column", "vendor_access_token text", hexes(12, 16, 40), "node-aes", Params{"table": "t", "access_token": "vendor_access_token"}, "AES with its IV"},
		{"Fernet", "access_token text", "gAAAAA" + strings.Repeat("B", 94), "fernet", Params{"table": "t"}, "Fernet"},
		{"a key service's", "access_token text", "vault:v1:AAAA", "", nil, "Vault"},
		{"CBC", "access_token text", hexes(16, 48), "node-aes", Params{"table": "t", "layout": "iv:ct", "algorithm": "aes-256-cbc"}, "AES with its IV"},
		{"with the tag first", "access_token text", hexes(16, 12, 40), "node-aes", Params{"table": "t", "layout": "tag:iv:ct"}, "AES with its IV"},
		{"in base64", "access_token text", b64s(".", 16, 16, 40), "node-aes", Params{"table": "t", "layout": "iv.tag.ct"}, "AES with its IV"},
		{"in base64 without padding", "access_token text", b64s(":", 12, 33), "node-aes", Params{"table": "t", "layout": "iv:ct"}, "an IV, a ciphertext"},
		{"with a mark", "access_token text", "v1:" + hexes(12, 16, 40), "node-aes", Params{"table": "t", "prefix": "v1:"}, "AES with its IV"},
		{"CryptoJS", "access_token text", "U2FsdGVkX18AAAAAAAAAAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g", "node-aes",
			Params{"table": "t", "layout": "salted", "algorithm": "aes-256-cbc", "derive": "openssl-md5"}, "OpenSSL or CryptoJS"},
		{"Rails", "access_token text", `{"p":"YQ==","h":{"iv":"UQpWnvfn7ZvEh7Uu","at":"/VH08mkNaMIa7QDZqI1W6w=="}}`, "rails", Params{"table": "t"}, "Active Record Encryption"},
		{"pgcrypto", "access_token bytea", `\x` + pgp, "pgcrypto", Params{"table": "t"}, "OpenPGP"},
		{"pgcrypto in hexadecimal", "access_token text", pgp, "pgcrypto", Params{"table": "t"}, "OpenPGP"},
		{"bytes", "access_token bytea", `\xff00fe01fd02fc03ff00fe01fd02fc03ff00fe01fd02fc03`, "node-aes", Params{"table": "t", "layout": "iv+tag+ct", "encoding": "raw"}, "no text"},
		{"an object", "access_token jsonb", `{"iv": "00112233445566778899aabb", "tag": "00112233445566778899aabbccddeeff", "data": "11"}`, "node-aes", Params{"table": "t", "layout": "json"}, "a JSON envelope"},
		{"with a salt", "access_token text", hexes(32, 16, 16, 40), "node-aes", Params{"table": "t", "layout": "salt:iv:tag:ct", "salt_length": "32"}, "AES with its IV"},
		{"with an IV beside", "access_token_iv text, access_token_tag text, access_token text", "AAECAwQFBgc=", "node-aes", Params{"table": "t"}, "access_token_iv is beside"},
		{"a blob", "access_token text", "/v8AAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiM=", "node-aes", Params{"table": "t", "layout": "iv+tag+ct"}, "base64 of bytes"},
		{"base64 of text", "access_token text", "eyJhIjoiYWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoifQ==", "", nil, ""},
		{"letters and digits", "access_token text", "EAAGm0PX4ZCpsBAKZAwe5jvq2ZCmZCkR0EAAGm0PX4ZCpsBAKZAwe5jv", "", nil, ""},
		{"JWT", "access_token text", "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJlLXNpZ25hdHVyZS1zaWduYXR1cmU", "", nil, ""},
		{"two parts", "access_token text", "1234567890-AbCdEf:GhIjKlMnOpQrStUvWxYz", "", nil, ""},
	} {
		config := newDatabase(t, "CREATE TABLE t (id int PRIMARY KEY, user_id int, \"providerId\" text, refresh_token text, "+c.columns+")",
			"INSERT INTO t VALUES (1, 2, 'slack', NULL, "+beside(c.columns)+"'"+c.access+"')")
		d := recognise(t, config, Limits{}).First
		if d == nil || d.Problem != nil {
			t.Errorf("%s: got draft %v, want one without a problem", c.name, d)
			continue
		}
		store := ""
		if d.Store != nil {
			store = d.Store.Name
		}
		want := c.params
		if want != nil && store != "" {
			want = want.With(Params{"provider": "providerId"})
		}
		if store != c.store || !maps.Equal(d.Params, want) || !strings.Contains(d.Sealed, c.sealed) || (d.Sealed == "") != (c.sealed == "") {
			t.Errorf("%s: got store %q, parameters %v, sealed %q; want %q, %v, %q", c.name, store, d.Params, d.Sealed, c.store, want, c.sealed)
		}
		if store != "" {
			if d := recognise(t, config, Limits{Store: store}).First; d.Store.Name != store || !maps.Equal(d.Params, want) {
				t.Errorf("%s, asked for: got %s with %v, want %s with %v", c.name, d.Store.Name, d.Params, store, want)
			}
		}
		if keys := d.Keys; store == "rails" && (!keys["primary_key"] || !keys["key_derivation_salt"] || keys["master_key"]) {
			t.Errorf("%s: got keys %v, want those of Active Record Encryption", c.name, keys)
		}
		if len(d.Counts.Providers) != 1 || d.Counts.Providers[0].Provider != "slack" {
			t.Errorf("%s: got providers %+v, want slack", c.name, d.Counts.Providers)
		}
	}
}

// Of several places any can be chosen.
func TestRecognise_Chosen(t *testing.T) {
	config := newDatabase(t, renamedBetterAuth, `CREATE TABLE sync (id int PRIMARY KEY, user_id int, access_token text, refresh_token text)`,
		`CREATE TABLE accounts (id serial PRIMARY KEY, "userId" int NOT NULL, type text, provider text, "providerAccountId" text, access_token text, refresh_token text, expires_at bigint, scope text)`,
		`CREATE TABLE notes (id int)`)
	for _, c := range []struct {
		limits Limits
		want   string
	}{
		{Limits{Store: "authjs"}, "accounts"}, {Limits{Table: "accounts"}, "accounts"}, {Limits{Store: "better-auth"}, "account"},
		{Limits{Table: "sync"}, "draft sync"}, {Limits{Store: "node-aes", Table: "sync"}, "draft sync by node-aes"},
		{Limits{Table: "notes"}, "table public.notes does not look like a store of tokens. If it is one, write a query of your own: the README tells its columns"}, {Limits{Table: "nots"}, "no table is called nots"},
		{Limits{Store: "n8n"}, "no table looks like one of store n8n"},
	} {
		s, err := Recognise(t.Context(), config, c.limits)
		var got string
		switch {
		case err != nil:
			got = err.Error()
		case s.First != nil && s.First.Store != nil:
			got = "draft " + s.First.Table.Name + " by " + s.First.Store.Name
		case s.First != nil:
			got = "draft " + s.First.Table.Name
		default:
			got = s.Found[0].Match.Tables[0].Name
		}
		if got != c.want {
			t.Errorf("%+v: got %s, want %s", c.limits, got, c.want)
		}
	}
}
