package stores

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/source"
)

// Every store is found without a parameter (unless its fixture says otherwise),
// as itself only, and each of its rows becomes what its fixture says.
func TestStore_MapsItsRows(t *testing.T) {
	each(t, every, func(t *testing.T, f *fixture, config *pgx.ConnConfig) {
		plan, r, err := f.open(t, config, f.keys)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(plan.Match.Variant, f.variant) {
			t.Errorf("variant: got %q, want %q", plan.Match.Variant, f.variant)
		}
		if err := r.CheckKeys(t.Context()); err != nil {
			t.Errorf("keys: %v", err)
		}
		rows := walk(t, r)
		got := rowsOf(t, rows)
		for key, want := range f.want {
			if got[key] == nil || !sameOutcome(outcome(got[key]), want) {
				t.Errorf("key %s:\n got %s\nwant %s", key, describe(got[key]), want)
			}
		}
		plain, decrypted := 0, 0
		for key, row := range got {
			if _, ok := f.want[key]; !ok {
				t.Errorf("key %s: got %s, want no such row", key, describe(row))
			}
			plain, decrypted = plain+row.Plain, decrypted+row.Decrypted
		}
		if plain != f.plain || decrypted != f.decrypted {
			t.Errorf("values: got %d plain and %d encrypted, want %d and %d", plain, decrypted, f.plain, f.decrypted)
		}
		again := make([]string, 0, len(rows))
		for i := range rows {
			again = append(again, rows[i].Key)
		}
		reread, err := r.Rows(t.Context(), again)
		if err != nil || len(reread) != len(rows) {
			t.Errorf("by their keys: got %d rows, %v, want %d", len(reread), err, len(rows))
		}
	})
}

// Wrong keys are found before anything is sent, and no key at all is, too.
func TestStore_FindsWrongKeys(t *testing.T) {
	each(t, sealed, func(t *testing.T, f *fixture, config *pgx.ConnConfig) {
		for name, keys := range map[string]Keys{"wrong": f.wrong, "none": nil} {
			_, r, err := f.open(t, config, keys)
			if err == nil {
				err = r.CheckKeys(t.Context())
			}
			var bad *source.ConfigError
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), "source.decrypt") {
				t.Errorf("%s keys: got %v, want a *source.ConfigError that names source.decrypt", name, err)
			}
			for _, key := range f.wrong {
				if err != nil && len(key.Reveal()) > 7 && strings.Contains(err.Error(), key.Reveal()) {
					t.Errorf("%s keys: the error holds a key", name)
				}
			}
		}
	})
}

// No other store takes a store's tables for its own, but for those that any
// table can be.
func TestStore_IsNotTakenForAnother(t *testing.T) {
	each(t, func(f *fixture) bool { return len(f.given) == 0 || len(f.given) == 1 && f.given["plain"] != "" }, func(t *testing.T, f *fixture, config *pgx.ConnConfig) {
		db, err := Connect(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		c, err := db.Catalogue(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range All() {
			if s.NoStore != "" {
				continue
			}
			matches := s.Find(c, nil)
			if s.Name == f.store && len(matches) != 1 {
				t.Errorf("found %d times as itself, want once", len(matches))
			}
			if s.Name != f.store && len(matches) > 0 {
				t.Errorf("taken for %s: %s", s.Name, matches[0].Variant)
			}
		}
	})
}

// Every store's text is complete, and its query's parameters are those it tells.
func TestStore_IsComplete(t *testing.T) {
	names := map[string]bool{}
	tried := map[string]bool{}
	for i := range fixtures {
		tried[fixtures[i].store] = true
	}
	for _, s := range All() {
		for _, name := range append([]string{s.Name}, s.Aliases...) {
			if names[name] {
				t.Errorf("%s: the name %s is another store's, too", s.Name, name)
			}
			names[name] = true
		}
		if s.Title == "" || s.Summary == "" && s.NoStore == "" {
			t.Errorf("%s: title or summary is missing", s.Name)
		}
		if s.NoStore != "" {
			continue
		}
		if !tried[s.Name] {
			t.Errorf("%s: no fixture", s.Name)
		}
		if s.Cipher != "" && s.Opener == nil || (len(s.Keys) > 0) != (s.Cipher != "") {
			t.Errorf("%s: cipher, keys and opener do not agree", s.Name)
		}
		for _, p := range s.AllParams() {
			if p.Doc == "" {
				t.Errorf("%s: parameter %s has no doc", s.Name, p.Name)
			}
		}
		for _, k := range s.Keys {
			if k.Doc == "" {
				t.Errorf("%s: key %s has no doc", s.Name, k.Name)
			}
		}
		for reason, sentence := range s.Skips {
			if !reason.Skipped() || sentence == "" {
				t.Errorf("%s: skip reason %s cannot be one or has no sentence", s.Name, reason)
			}
		}
		if query := s.SQL(s.Defaults()); !strings.HasPrefix(query, "SELECT") && !strings.HasPrefix(query, "WITH") {
			t.Errorf("%s: query: %s", s.Name, query)
		}
	}
}
