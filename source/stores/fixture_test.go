package stores

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/migrate/connect"
	"tokenmigrate/source"
)

// fixture is a store as one of its versions makes it, with some rows in it.
// Each store's test registers its own; the conformance tests run over all.
type fixture struct {
	store   string
	name    string   // of the variant: "Prisma"
	sql     []string // tables and rows; the rows are as the store writes them
	given   Params   // of the configuration; most need none
	keys    Keys     // all that its cipher needs; nil: plain
	wrong   Keys     // other keys of the right form, that open none of its values; nil: plain
	variant string   // what Find must call it, or a part of that
	// want is what becomes of each row, by key: the token as JSON, without the parts
	// that every token has alike (see tokenJSON), or a reason code.
	want map[string]string
	// plain and decrypted are how many values stand in the clear, and encrypted.
	plain, decrypted int
}

// fixtures of all stores, filled by their tests' init functions.
var fixtures []fixture

// now is when fixtures are read.
var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// open prepares a fixture's store in its database and opens a reader of it.
func (f *fixture) open(t *testing.T, config *pgx.ConnConfig, keys Keys) (*Plan, *source.Reader, error) {
	t.Helper()
	s, ok := ByName(f.store)
	if !ok {
		t.Fatalf("store %s is not known", f.store)
	}
	plan, err := s.Prepare(t.Context(), config, f.given, keys)
	if err != nil {
		return nil, nil, err
	}
	r, err := source.Open(t.Context(), config, source.Options{
		Query: plan.Query, Open: plan.Open, Skips: s.Skips, MissingExpiry: s.MissingExpiry,
		Routes: source.Routes{Connector: "slack/acme"}, Now: func() time.Time { return now },
	})
	if err == nil {
		t.Cleanup(r.Close)
	}
	return plan, r, err
}

// walk reads all rows.
func walk(t *testing.T, r *source.Reader) []source.Row {
	t.Helper()
	var rows []source.Row
	var after source.Cursor
	for {
		page, err := r.Page(t.Context(), after)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, page.Rows...)
		if page.End {
			return rows
		}
		after = page.Next
	}
}

// tokenJSON is a row's token as fixtures have it: its provider first, then its
// body's fields but for the environment and for a subject's type "user". An
// expiry that was made up is not told as a time but as "made up".
func tokenJSON(row *source.Row) string {
	var body map[string]any
	if err := json.Unmarshal(row.Token.AppendJSON(nil), &body); err != nil {
		return err.Error()
	}
	delete(body, "environment")
	if s, ok := body["subject"].(map[string]any); ok && s["type"] == "user" {
		delete(s, "type")
		if len(s) == 1 {
			body["subject"] = s["id"]
		}
	}
	if row.MadeUpExpiry {
		body["expiresAt"] = "made up"
	}
	if row.Provider != "" {
		body["provider"] = row.Provider
	}
	text, _ := json.Marshal(body)
	return string(text)
}

// outcome is what a fixture wants of a row.
func outcome(row *source.Row) string {
	if row.Reason != "" {
		return string(row.Reason)
	}
	return tokenJSON(row)
}

// sameOutcome compares a token's JSON whatever the order of its fields.
func sameOutcome(a, b string) bool {
	if !strings.HasPrefix(a, "{") || !strings.HasPrefix(b, "{") {
		return a == b
	}
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

// each runs a test for every fixture, in a database of its own.
func each(t *testing.T, wanted func(*fixture) bool, test func(t *testing.T, f *fixture, config *pgx.ConnConfig)) {
	t.Helper()
	ran := 0
	for i := range fixtures {
		f := &fixtures[i]
		if !wanted(f) {
			continue
		}
		ran++
		t.Run(f.store+"/"+strings.ReplaceAll(f.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			test(t, f, newDatabase(t, f.sql...))
		})
	}
	if ran == 0 {
		t.Fatal("no fixture")
	}
}

func every(*fixture) bool    { return true }
func sealed(f *fixture) bool { return f.keys != nil }

// secret makes a key of a text.
func secret(text string) connect.Secret { return connect.NewSecret(text) }

// rowsOf maps rows to their keys and says where a key comes twice.
func rowsOf(t *testing.T, rows []source.Row) map[string]*source.Row {
	t.Helper()
	byKey := map[string]*source.Row{}
	for i := range rows {
		if byKey[rows[i].Key] != nil {
			t.Errorf("key %s came twice", rows[i].Key)
		}
		byKey[rows[i].Key] = &rows[i]
	}
	return byKey
}

func describe(row *source.Row) string {
	if row == nil {
		return "no row"
	}
	if row.Detail != "" {
		return fmt.Sprintf("%s (%s)", outcome(row), row.Detail)
	}
	return outcome(row)
}

// longToken is the token of 64 KiB that the ciphers' known answers hold.
var longToken = strings.Repeat("ya29.0123456789-", 4096)

// sealedValue returns the value of one case of ../cipher/testdata/<file>.json: of
// bytea columns in hexadecimal.
func sealedValue(file, name string) string {
	c := sealedCase(file, name)
	value := c.Data
	if value == nil {
		value = c.DataHex
	}
	text, _ := value.(string)
	if pieces, split := value.([]any); split { // a long one
		for _, piece := range pieces {
			text += piece.(string)
		}
	}
	return text
}

// sealedWith returns what lies beside that value.
func sealedWith(file, name string) map[string]string { return sealedCase(file, name).With }

type knownAnswer struct {
	Name      string
	Data      any
	DataHex   any `json:"data_hex"`
	With      map[string]string
	Keys      any
	Plaintext string
}

// sealedCase panics where there is none: fixtures are made before any test runs.
func sealedCase(file, name string) knownAnswer {
	b, err := os.ReadFile(filepath.Join("..", "cipher", "testdata", file+".json"))
	if err != nil {
		panic(err)
	}
	var doc struct{ Cases []knownAnswer }
	if err := json.Unmarshal(b, &doc); err != nil {
		panic(err)
	}
	for _, c := range doc.Cases {
		if c.Name == name {
			return c
		}
	}
	panic(fmt.Sprintf("%s.json has no value %q", file, name))
}

// quoted writes values as a list for VALUES: texts as literals, nil as NULL, a
// raw as the expression that it is.
func quoted(values ...any) string {
	list := make([]string, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case nil:
			list[i] = "NULL"
		case raw:
			list[i] = string(v)
		case string:
			list[i] = literal(v)
		default:
			list[i] = fmt.Sprint(v)
		}
	}
	return strings.Join(list, ", ")
}

// raw is an SQL expression.
type raw string
