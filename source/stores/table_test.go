package stores

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/source"
)

// tableOf is a readable table with these columns, each "name type".
func tableOf(name string, columns ...string) *Table {
	t := &Table{Schema: "public", Name: name, Kind: "table", InPath: true, Readable: true}
	for _, c := range columns {
		column, kind, _ := strings.Cut(c, " ")
		t.Columns = append(t.Columns, Column{Name: column, Type: kind, NotNull: column == "id", Key: column == "id"})
	}
	return t
}

// matchOf returns the one match of a store in a table.
func matchOf(t *testing.T, s *Store, table *Table, given Params) Match {
	t.Helper()
	matches := s.Find(&Catalogue{Tables: []*Table{table}}, Params{"table": table.Name}.With(given))
	if len(matches) != 1 {
		t.Fatalf("%s: got %d matches, want one", s.Name, len(matches))
	}
	return matches[0]
}

// Of a plain column and its encrypted twin the encrypted one is read, but where
// nothing is encrypted; and the user hears of it.
func TestOwnTable_ReadsTheEncryptedTwin(t *testing.T) {
	snake := tableOf("tok", "id integer", "user_id integer", "provider text", "access_token text", "access_token_encrypted text", "refresh_token text", "encrypted_refresh_token text", "token_encrypted boolean")
	camels := tableOf("tok", "id integer", "userId integer", "accessToken text", "encryptedAccessToken bytea", "refreshToken text")
	for _, c := range []struct {
		store           *Store
		table           *Table
		given           Params
		access, refresh string
		warnings        int
	}{
		{nodeAES, snake, nil, "access_token_encrypted", "encrypted_refresh_token", 2},
		{nodeAES, snake, Params{"algorithm": "none"}, "access_token", "refresh_token", 2},
		{nodeAES, snake, Params{"access_token": "access_token", "refresh_token": "refresh_token"}, "access_token", "refresh_token", 0},
		{nodeAES, camels, nil, "encryptedAccessToken", "refreshToken", 1},
		{laravel, snake, nil, "access_token_encrypted", "encrypted_refresh_token", 2},
		{rails, snake, Params{"flavour": "plain"}, "access_token", "refresh_token", 2},
		{nodeAES, tableOf("tok", "id integer", "user_id integer", "access_token text", "token_encrypted boolean", "access_token_encrypted boolean"), nil, "access_token", "", 0},
	} {
		m := matchOf(t, c.store, c.table, c.given)
		n := strings.Count(strings.Join(m.Warnings, "\n"), "The table has both ")
		if m.Params["access_token"] != c.access || m.Params["refresh_token"] != c.refresh || n != c.warnings {
			t.Errorf("%s %v: got %s, %s and %d warnings, want %s, %s and %d", c.store.Name, c.given, m.Params["access_token"], m.Params["refresh_token"], n, c.access, c.refresh, c.warnings)
		}
	}
}

// Columns that are only called nonce, tag or salt may be there for other ends.
func TestOwnTable_LeavesStrangersBeside(t *testing.T) {
	own := []string{"id integer", "user_id integer", "provider text", "access_token text"}
	for _, c := range []struct {
		store        *Store
		columns      string // beside those
		given        Params
		iv, tag, key string // key: the salt
	}{
		{nodeAES, "nonce text", nil, "", "", ""},
		{nodeAES, "nonce text", Params{"layout": "ct"}, "nonce", "", ""},
		{nodeAES, "nonce bytea", nil, "nonce", "", ""},
		{nodeAES, "nonce text,auth_tag text", nil, "nonce", "auth_tag", ""},
		{nodeAES, "tag text", nil, "", "", ""},
		{nodeAES, "iv text,tag text", nil, "iv", "tag", ""},
		{nodeAES, "iv text,tag text", Params{"layout": "iv:tag:ct"}, "", "", ""},
		{nodeAES, "salt text", nil, "", "", ""},
		{nodeAES, "salt text", Params{"derive": "scrypt"}, "", "", "salt"},
		{rails, "iv text,salt text", nil, "", "", ""},
		{rails, "access_token_iv text", nil, "access_token_iv", "", ""},
	} {
		m := matchOf(t, c.store, tableOf("tok", append(own[:len(own):len(own)], strings.Split(c.columns, ",")...)...), c.given)
		if p := m.Params; p["access_token_iv"] != c.iv || p["access_token_tag"] != c.tag || p["access_token_salt"] != c.key {
			t.Errorf("%s, %s %v: got iv %q, tag %q, salt %q, want %q, %q, %q", c.store.Name, c.columns, c.given, p["access_token_iv"], p["access_token_tag"], p["access_token_salt"], c.iv, c.tag, c.key)
		}
	}
}

// What of a table is a guess is told.
func TestOwnTable_WarnsOfGuesses(t *testing.T) {
	lifetimes := tableOf("tok", "id integer", "user_id integer", "provider text", "access_token text", "expires_in integer", "updated_at timestamptz")
	owners := tableOf("tok", "id integer", "owner_id integer", "owner_type text", "provider text", "access_token text", "expires_at timestamptz")
	for _, c := range []struct {
		table *Table
		given Params
		word  string
		want  bool
	}{
		{lifetimes, nil, "counted from updated_at", true},
		{lifetimes, Params{"issued_at": "updated_at"}, "counted from", false},
		{owners, nil, "user_types", true},
		{owners, Params{"user_types": "Member"}, "user_types", false},
		{owners, nil, "counted from", false},
	} {
		m := matchOf(t, nodeAES, c.table, c.given)
		if got := strings.Contains(strings.Join(m.Warnings, "\n"), c.word); got != c.want {
			t.Errorf("%v: warnings %q: has %q %t, want %t", c.given, m.Warnings, c.word, got, c.want)
		}
	}
}

// Which owners are users can be told, and owners of other types are never mixed up.
func TestOwnTable_TellsOwnersApart(t *testing.T) {
	config := newDatabase(t, `CREATE TABLE grants (id serial PRIMARY KEY, owner_type text, owner_id integer, provider text, access_token text, expires_at timestamp, refresh_token text, refresh_token_expires_at timestamp)`,
		`INSERT INTO grants (owner_type, owner_id, provider, access_token, expires_at, refresh_token, refresh_token_expires_at) VALUES
			('Member', 6, 'google', 't1', '2030-01-01 00:00:00', 'r', '2030-01-01 00:00:00'), ('User', 6, 'google', 't2', '2030-01-01', NULL, NULL), (NULL, 7, 'google', 't3', '2030-01-01', NULL, NULL)`)
	got := rowsIn(t, config, fixture{store: "laravel", given: Params{"table": "grants", "user_types": "Member, Admin", "timezone": "America/Los_Angeles"}})
	for key, want := range map[string]string{
		// The zone is that of both expiries.
		"1": `{"provider":"google","accessToken":"t1","refreshToken":"r","expiresAt":1893484800000,"refreshTokenExpiresAt":1893484800000,"subject":"6"}`,
		"2": `{"provider":"google","accessToken":"t2","expiresAt":1893484800000,"subject":{"type":"app"},"tenant":{"id":"User/6"}}`,
		"3": `{"provider":"google","accessToken":"t3","expiresAt":1893484800000,"subject":"7"}`,
	} {
		if !sameOutcome(outcome(got[key]), want) {
			t.Errorf("key %s:\n got %s\nwant %s", key, describe(got[key]), want)
		}
	}
}

// rowsIn reads a fixture's rows from a database, by key.
func rowsIn(t *testing.T, config *pgx.ConnConfig, f fixture) map[string]*source.Row {
	t.Helper()
	_, r, err := f.open(t, config, f.keys)
	if err != nil {
		t.Fatal(err)
	}
	return rowsOf(t, walk(t, r))
}

// The example query has the columns that are not given by their usual names.
func TestOwnTable_ExampleIsComplete(t *testing.T) {
	for _, given := range []Params{nil, {"table": "integrations"}, {"table": "integrations", "provider_name": "google", "access_token": "tok"}} {
		query := nodeAES.SQL(nodeAES.Defaults().With(given))
		for _, broken := range []string{"NULL::text AS provider", `""`} {
			if strings.Contains(query, broken) {
				t.Errorf("%v: the query has %s:\n%s", given, broken, query)
			}
		}
		for _, value := range given {
			if !strings.Contains(query, value) {
				t.Errorf("%v: the query has no %s:\n%s", given, value, query)
			}
		}
	}
}
