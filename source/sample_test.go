package source

import (
	"strings"
	"testing"
	"time"

	"tokenmigrate/migrate/connect"
)

func TestRow_TellsKeysThatAreNone(t *testing.T) {
	for key, want := range map[string]string{
		"17": "", "usr_01HZX3": "", "3f1c8b0e-7d6a-4b52-9a54-0e8f0c2d1a11": "", "google/108234567890123456789": "", "clx1a2b3c4d5e6f7g8h9i0j1k": "",
		"d8ff342956a6490568ccd13f740fc5f6ee86f9ac2ac0be38f152931ae1e6b743": "", "Xq7vT2mWc9LpR4sZ8yBn3KfH6jDgA1uE": "",
		"ann@example.com": "an e-mail address", "google/ann.b+c@mail.example.com": "an e-mail address", "acct:ann@example.com": "", "@ann": "",
		"xoxb-1-2": "a credential", "github/gho_16C7e42F292c6912E7710c838347Ae178B4a": "a credential", "ya29.a0AfB": "a credential", "1//0gRefresh": "a credential", "1%2F%2F0gRefresh/2": "a credential",
		"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln": "a credential", "Xq7vT2mWc9LpR4sZ8yBn3KfH6jDgA1uEXq7vT2mWc9LpR4sZ8yBn": "a credential",
		"u-plaintokenofthisrow": "a credential",
	} {
		row := Row{Key: key, Token: connect.Token{AccessToken: connect.NewSecret("plaintokenofthisrow")}}
		if got := row.KeyLooks(); got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
}

func TestRow_MasksSecrets(t *testing.T) {
	const secret, refresh = "CANARYaccess4711", "CANARYrefresh47€"
	row := Row{Key: "17", Provider: "slack", Connector: "slack/acme", MadeUpExpiry: true, Token: connect.Token{
		AccessToken: connect.NewSecret(secret), RefreshToken: connect.NewSecret(refresh), ExpiresAt: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC).UnixMilli(),
		Environment: "preview", Subject: connect.Subject{Type: "user", ID: "u-1"}, Scopes: []string{"a", "b"}, Data: connect.NewSecret(`{"x":"CANARY"}`),
		Installation: connect.Party{ID: "T1"},
	}}
	const want = `key "17", provider "slack", to "slack/acme", preview, subject user, access token of 16 characters, refresh token of 16 characters, ` +
		`expires 2030-01-02T03:04:05Z (made up), scopes: 2, with subject_id data installation`
	if got := row.Mask(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// A wrong query may have put a part of a token anywhere.
	row.Key, row.Provider, row.Connector = "k-"+secret[2:12], refresh[:9], "x"+secret
	if got := row.Mask(); strings.Contains(got, "ARYa") || strings.Contains(got, "CANARY") || !strings.Contains(got, "key (12 characters), preview") {
		t.Errorf("got %s", got)
	}
	row = Row{Key: "18", Reason: ReasonMissingExpiry, Detail: "a detail"}
	if got := row.Mask(); got != `key "18": invalid missing_expiry: a detail` {
		t.Errorf("got %s", got)
	}
}

func TestReader_Samples(t *testing.T) {
	db := newDatabase(t, "CREATE TABLE accounts AS SELECT generate_series(1, 50) AS id")
	r := db.open(Options{Query: accounts, PageSize: 20})
	for n, want := range map[int]int{7: 7, 100: 20} {
		if rows, err := r.Sample(t.Context(), n); err != nil || len(rows) != want || rows[0].Key != "1" {
			t.Errorf("sample of %d: got %d rows (%v), want %d from the first on", n, len(rows), err, want)
		}
	}
}

func TestReader_NamesTheIndex(t *testing.T) {
	db := newDatabase(t, `
CREATE SCHEMA "odd Schema";
CREATE TABLE "odd Schema"."Account" ("userId" text, provider text, at text);
CREATE TABLE parted (id bigint, at text) PARTITION BY HASH (id);
CREATE TABLE parted_0 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE VIEW seen AS SELECT "userId" AS id, at FROM "odd Schema"."Account" WHERE at <> ''`)
	const rest = `, at AS access_token, 'u' AS subject_id FROM `
	for query, want := range map[string]string{
		`SELECT "userId" AS key` + rest + `"odd Schema"."Account"`:                                                                                       `CREATE INDEX CONCURRENTLY ON "odd Schema"."Account" ("userId")`,
		`SELECT provider AS key, "userId" AS key_2` + rest + `"odd Schema"."Account" a WHERE at <> 'canary'`:                                             `CREATE INDEX CONCURRENTLY ON "odd Schema"."Account" (provider, "userId")`,
		`SELECT id AS key` + rest + `seen`:                                                                                                               `CREATE INDEX CONCURRENTLY ON "odd Schema"."Account" ("userId")`,
		`SELECT * FROM (SELECT "userId" AS key` + rest + `"odd Schema"."Account") x`:                                                                     `CREATE INDEX CONCURRENTLY ON "odd Schema"."Account" ("userId")`,
		`SELECT "userId" || 'canary' AS key` + rest + `"odd Schema"."Account"`:                                                                           "",
		`SELECT "userId" COLLATE "C" AS key` + rest + `"odd Schema"."Account"`:                                                                           "",
		`SELECT id AS key` + rest + `parted`:                                                                                                             "",
		`SELECT a."userId" AS key, b.provider AS key_2, a.at AS access_token, 'u' AS subject_id FROM "odd Schema"."Account" a, "odd Schema"."Account" b`: "",
	} {
		got, err := db.open(Options{Query: query}).Paging(t.Context())
		if err != nil || !got.Sorts || got.Index != want {
			t.Errorf("%s:\ngot  %+v (%v)\nwant %s", query, got, err, want)
		}
	}
}
