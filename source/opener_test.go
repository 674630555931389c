package source

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"tokenmigrate/source/cipher"
)

// documents opens the column doc: "ok:TOKEN" as encrypted, "wrong" as under
// another key, "cut" as damaged, "gone" as a row to leave out, and anything else
// as plain.
type documents struct{ opened atomic.Int64 }

func (d *documents) Inputs() []string { return []string{"doc", "salt"} }

func (d *documents) Open(in Values) (Opened, error) {
	d.opened.Add(1)
	doc := in["doc"]
	switch {
	case strings.HasPrefix(doc, "ok:"):
		return Opened{Decrypted: 1, Values: Values{
			"access_token": strings.TrimPrefix(doc, "ok:") + in["salt"], "refresh_token": "", "expires_at": "1900000000",
			"scopes": "a b", "data": `{"x":1}`,
		}}, nil
	case doc == "wrong":
		return Opened{}, fmt.Errorf("doc: %w", cipher.ErrKey)
	case doc == "cut":
		return Opened{}, fmt.Errorf("doc: %w: it is cut short", cipher.ErrFormat)
	case doc == "gone":
		return Opened{Skip: "deleted"}, nil
	}
	return Opened{Plain: 1, Values: Values{"access_token": doc}}, nil
}

var documentSkips = map[Reason]string{"deleted": "it was deleted", "older": "there is a newer one"}

// documentsOf makes a table of these documents, by id from 1, and reads it.
func documentsOf(t *testing.T, docs ...string) (*Reader, *documents) {
	t.Helper()
	db := newDatabase(t, `CREATE TABLE t (id int PRIMARY KEY, doc bytea, skip text, kept text)`)
	for i, doc := range docs {
		db.exec(fmt.Sprintf(`INSERT INTO t VALUES (%d, '%s', NULL, 'r')`, i+1, doc))
	}
	db.exec(`INSERT INTO t VALUES (1000000, 'ok:never', 'older', 'r')`)
	d := &documents{}
	return db.open(Options{Open: d, Skips: documentSkips,
		Query: `SELECT id AS key, 'u' || id AS subject_id, doc, '!'::text AS salt, kept AS refresh_token, skip FROM t`}), d
}

func TestReader_OpensRowsInTheirOrder(t *testing.T) {
	docs := make([]string, 300) // several batches
	for i := range docs {
		docs[i] = fmt.Sprintf("ok:t%d", i+1)
	}
	docs[9], docs[10], docs[11], docs[12] = "plain", "wrong", "cut", "gone"
	r, d := documentsOf(t, docs...)
	rows, err := walkAll(t, r)
	if err != nil || len(rows) != len(docs)+1 {
		t.Fatalf("got %d rows, %v, want %d", len(rows), err, len(docs)+1)
	}
	for i, row := range rows[:len(docs)] {
		got := fmt.Sprintf("%s %s %s/%s %d %v %s %d %d", row.Key, row.Reason, row.Token.AccessToken.Reveal(), row.Token.RefreshToken.Reveal(),
			row.Token.ExpiresAt, row.Token.Scopes, row.Token.Data.Reveal(), row.Decrypted, row.Plain)
		want := fmt.Sprintf("%d  t%d!/ 1900000000000 [a b] {\"x\":1} 1 0", i+1, i+1)
		switch i {
		case 9:
			want = "10 missing_expiry / 0 []  0 1"
		case 10, 11:
			want = fmt.Sprintf("%d decrypt_failed / 0 []  0 0", i+1)
		case 12:
			want = "13 deleted / 0 []  0 0"
		}
		if got != want {
			t.Errorf("row %d:\n got %s\nwant %s", i+1, got, want)
		}
	}
	if last := rows[len(docs)]; last.Reason != "older" || last.Detail != "there is a newer one" || last.Reason.Outcome() != "skipped" {
		t.Errorf("the row that the query leaves out: got %s (%s), %s", last.Reason, last.Detail, last.Reason.Outcome())
	}
	if n := d.opened.Load(); n != int64(len(docs)) {
		t.Errorf("got %d rows opened, want %d: not the one that is left out", n, len(docs))
	}
	again, err := r.Rows(t.Context(), []string{"3", "13", "1000000", "7"})
	slices.SortFunc(again, func(a, b Row) int { return strings.Compare(a.Key, b.Key) })
	if err != nil || len(again) != 4 || again[3].Token.AccessToken.Reveal() != "t7!" || again[0].Reason != "older" {
		t.Errorf("by their keys: got %+v, %v", again, err)
	}
}

func TestReader_ChecksKeys(t *testing.T) {
	many := func(doc string, n int) []string { return slices.Repeat([]string{doc}, n) }
	for _, test := range []struct {
		name string
		docs []string
		lost bool
		want string // part of the error; "": none
	}{
		{"no rows", nil, false, ""},
		{"only plain", []string{"a", "b"}, false, ""},
		{"only left out", []string{"gone"}, false, ""},
		{"a few damaged ones", many("cut", 9), false, ""},
		{"all damaged", many("cut", 10), false, "none of 10 rows opens that should be encrypted, most often because (key \"1\": doc: the value is damaged: it is cut short). See what source.params says of the cipher, and whether"},
		{"the only one does not open", []string{"plain", "wrong"}, false, `the only encrypted row that was found does not open (key "2": doc: none of the configured keys opens the value). Give the right keys in source.decrypt`},
		{"none of a few", many("wrong", 7), false, "none of 7 encrypted rows opens"},
		{"all damaged but one with a wrong key", append(many("cut", 10), "wrong"), false, "Give the right keys in source.decrypt, and what source.params says of the cipher"},
		{"none, though lost keys are accepted", many("wrong", 7), true, "none of 7 encrypted rows opens"},
		{"a few of many", append(many("wrong", 9), many("ok:x", 3)...), false, ""},
		{"a fifth of them", append(many("wrong", 10), many("ok:x", 40)...), false, "10 of 50 encrypted rows do not open, most often because (key \"1\""},
		{"a fifth of them, accepted", append(many("wrong", 10), many("ok:x", 40)...), true, ""},
		{"less than a fifth", append(many("wrong", 10), many("ok:x", 41)...), false, ""},
		{"the newest, 15 % of the sample", append(many("ok:x", 300), many("wrong", 30)...), false, ""},
		{"the newest", append(many("ok:x", 3000), many("wrong", 60)...), false, "60 of 199 encrypted rows do not open, most often because (key \"30"},
		{"encrypted ones behind many plain ones", slices.Concat(many("p", 150), many("wrong", 3), many("p", 150)), false, "none of 3 encrypted rows opens"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, _ := documentsOf(t, test.docs...)
			r.o.LostKeys = test.lost
			err := r.CheckKeys(t.Context())
			var bad *ConfigError
			if test.want == "" && err != nil || test.want != "" && (!errors.As(err, &bad) || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// What is encrypted is not sent where nothing opens it.
func TestReader_SendsNoCiphertext(t *testing.T) {
	db := newDatabase(t, `CREATE TABLE t (id int PRIMARY KEY, at text, rt text)`)
	const sealed = "0123456789abcdef01234567:00112233445566778899aabbccddeeff:0badc0de"
	for i := range 30 {
		at := "token-" + fmt.Sprint(i)
		if i%2 == 0 {
			at = sealed
		}
		db.exec(fmt.Sprintf(`INSERT INTO t VALUES (%d, '%s', 'r')`, i, at))
	}
	db.exec(`INSERT INTO t VALUES (100, 'token', '` + sealed + `')`)
	query := Options{Query: `SELECT id AS key, 'u' || id AS subject_id, at AS access_token, rt AS refresh_token, 1900000000 AS expires_at FROM t`}
	rows, err := walkAll(t, db.open(query))
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, row := range rows {
		if row.Reason == ReasonDecryptFailed && strings.Contains(row.Detail, "is no token but still encrypted, it looks like AES") {
			refused++
		} else if row.Reason != "" || strings.Contains(row.Token.AccessToken.Reveal()+row.Token.RefreshToken.Reveal(), ":") {
			t.Errorf("key %s: got %s (%s), want it sent or refused as encrypted", row.Key, row.Reason, row.Detail)
		}
	}
	if refused != 16 {
		t.Errorf("got %d rows refused, want the 15 and the one with its refresh token", refused)
	}
	if err := db.open(query).CheckKeys(t.Context()); err == nil || !strings.Contains(err.Error(), "16 of 31 rows hold no tokens but what somebody encrypted") {
		t.Errorf("keys: got %v", err)
	}
	db.exec(`DELETE FROM t WHERE id < 20 AND id % 2 = 0`)
	if err := db.open(query).CheckKeys(t.Context()); err != nil {
		t.Errorf("few of them: got %v, want nothing", err)
	}
}

func TestOpen_RefusesColumnsOfStores(t *testing.T) {
	db := newDatabase(t, `CREATE TABLE t (id int PRIMARY KEY, at text, doc float8, skip text)`)
	for _, test := range []struct {
		name, query, want string
		o                 Options
	}{
		{"skip without a store", `SELECT id AS key, at AS access_token, at AS subject_id, skip FROM t`, "column skip is not known", Options{}},
		{"an input of a type that cannot be", `SELECT id AS key, at AS access_token, at AS subject_id, doc, at AS salt FROM t`, "column doc is double precision", Options{Open: &documents{}}},
		{"an input that is missing", `SELECT id AS key, at AS subject_id, at AS doc FROM t`, "column salt, which the store's cipher reads, is missing", Options{Open: &documents{}}},
		{"a reason that has another meaning", `SELECT id AS key, at AS access_token, at AS subject_id, skip FROM t`, `skip reason "duplicate_"`, Options{Skips: map[Reason]string{"decrypt_failed": "x"}}},
	} {
		test.o.Query = test.query
		want := strings.Replace(test.want, "duplicate_", "decrypt_failed", 1)
		if _, err := Open(t.Context(), db.config(""), test.o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", test.name, err, want)
		}
	}
}
