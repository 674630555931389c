// Package stores knows the token stores that teams really have: which tables
// they use and in which variants, how to read them as the rows that package
// source maps, what their ciphers are, and what of them is no token to migrate.
//
// One file a store; each says where its facts come from. All lists them.
package stores

import (
	"context"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"tokenmigrate/migrate/connect"
	"tokenmigrate/source"
)

// Store is one known store: its preset. The fields are constant.
type Store struct {
	Name    string   // as source.store has it: "better-auth"
	Aliases []string // other names for it
	Title   string   // "Better Auth"
	Summary string   // one line: what it is and where its tokens lie
	// NoStore, unless empty, says why the thing of this name keeps no tokens, and
	// what to do instead. Such a store has nothing else but its names.
	NoStore string

	Params []Param // in the order in which they are told
	Keys   []Key   // what source.decrypt may hold; none: nothing is encrypted
	Cipher string  // one line: how values are encrypted; "" if they are not
	// Skips are the reasons for which rows are left out, with the sentence that
	// explains each. The query's skip column, or the Opener, gives them.
	Skips    map[source.Reason]string
	Warnings []string // what every user of the store must know, a sentence each
	// MissingExpiry is used where the configuration says nothing.
	MissingExpiry source.MissingExpiry

	// Find returns how the preset reads what the catalogue shows, one match for each
	// table or set of tables that can be the store's. given restricts it: a table or
	// column that it names must be there, and then it is taken even if it does not
	// look like the store's.
	Find func(c *Catalogue, given Params) []Match
	// Query returns the SELECT for a Match's params.
	Query func(p Params) string
	// Opener returns what opens the store's rows. It may read db, for a key check of
	// the store's own. Nil: all is plain.
	//
	// Errors: *cipher.KeyError, *source.ConfigError, *pgerr.Error.
	Opener func(ctx context.Context, db *DB, p Params, keys Keys) (source.Opener, error)
}

// Match is one place where a store's tokens are.
type Match struct {
	Params   Params   // complete: every parameter of the store has its value
	Variant  string   // what it was recognised as: `Prisma, table public."Account"`
	Tables   []*Table // those that hold tokens, the first one row a token
	Warnings []string // what is true of this variant only
}

// Param is a parameter of a store, as source.params may have it.
type Param struct {
	Name    string
	Default string // of the commonest variant; "" if it is found out or has none
	Doc     string // one line
	// Choices are all the values that it may have; nil: any text.
	Choices []string
}

// Key is a key of a store's cipher, as source.decrypt may have it.
type Key struct {
	Name string // "secret"
	Env  string // the store's own variable: "BETTER_AUTH_SECRET"; "" if it has none
	Doc  string // one line
	// Needed reports whether a row with encrypted values calls for this key, so that
	// a starter configuration asks for it. Nil: every such row does.
	Needed func(in source.Values) bool
}

// Params are parameters by name. A missing one is not set.
type Params map[string]string

// With returns a copy in which those of other are set, too.
func (p Params) With(other Params) Params {
	all := maps.Clone(p)
	if all == nil {
		all = Params{}
	}
	maps.Copy(all, other)
	return all
}

// List returns the parts of a comma-separated parameter, without space and empty
// ones.
func (p Params) List(name string) []string {
	var list []string
	for part := range strings.SplitSeq(p[name], ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

// Keys are the keys of a cipher by name. A missing one is not given.
type Keys map[string]connect.Secret

// List returns the keys of a comma-separated entry, or nil.
func (k Keys) List(name string) []connect.Secret {
	var list []connect.Secret
	for part := range strings.SplitSeq(k[name].Reveal(), ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, connect.NewSecret(part))
		}
	}
	return list
}

// anyText returns the keys of an entry of a cipher whose keys may be any text:
// those between its commas and, where it has some, the whole, which may be one key.
func (k Keys) anyText(name string) []connect.Secret {
	list := k.List(name)
	if strings.Contains(k[name].Reveal(), ",") {
		list = append(list, k[name])
	}
	return list
}

// ofLength returns the keys of an entry of a cipher whose keys all have n bytes or
// characters: the whole entry if that has as many, commas included, else its parts.
func (k Keys) ofLength(name string, n int) []connect.Secret {
	if text := k[name].Reveal(); len(text) == n || utf8.RuneCountInString(text) == n {
		return []connect.Secret{k[name]}
	}
	return k.List(name)
}

// Param returns the parameter of that name; those of every store included.
func (s *Store) Param(name string) (Param, bool) { return byName(s.AllParams(), name, Param.name) }

// Key returns the key of that name.
func (s *Store) Key(name string) (Key, bool) { return byName(s.Keys, name, Key.name) }

func (p Param) name() string { return p.Name }
func (k Key) name() string   { return k.Name }

func byName[T any](list []T, name string, of func(T) string) (found T, ok bool) {
	i := slices.IndexFunc(list, func(t T) bool { return of(t) == name })
	if i < 0 {
		return found, false
	}
	return list[i], true
}

// providersParam is a parameter of every store.
var providersParam = Param{Name: "providers", Doc: "only rows of these providers, separated by commas; empty: all"}

// AllParams returns the store's parameters and those of every store.
func (s *Store) AllParams() []Param {
	if s.NoStore != "" {
		return nil
	}
	return append(slices.Clone(s.Params), providersParam)
}

// Defaults returns the parameters as they are when nobody sets them and no
// database is looked at.
func (s *Store) Defaults() Params {
	p := Params{}
	for _, param := range s.AllParams() {
		p[param.Name] = param.Default
	}
	return p
}

// SQL returns the store's query for p, complete: with the filters that every
// store has.
func (s *Store) SQL(p Params) string {
	query := strings.TrimSpace(s.Query(p))
	if providers := p.List("providers"); len(providers) > 0 {
		quoted := make([]string, len(providers))
		for i, provider := range providers {
			quoted[i] = literal(provider)
		}
		query = "SELECT * FROM (\n" + query + "\n) AS s\nWHERE s.provider IN (" + strings.Join(quoted, ", ") + ")"
	}
	return query
}

// ByName returns the store of that name or alias, whatever its case.
func ByName(name string) (*Store, bool) {
	name = strings.ToLower(name)
	for _, s := range All() {
		if s.Name == name || slices.Contains(s.Aliases, name) {
			return s, true
		}
	}
	return nil, false
}

// Names returns the names of all stores, without aliases, in the order of All.
func Names() []string {
	var names []string
	for _, s := range All() {
		names = append(names, s.Name)
	}
	return names
}
