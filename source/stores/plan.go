package stores

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/source"
	"tokenmigrate/source/cipher"
)

// Plan is how a store's tokens are read from one database.
type Plan struct {
	Store    *Store
	Match    Match
	Query    string
	Open     source.Opener // nil: all is plain
	Warnings []string      // the store's, and those of the variant
}

// Tables names the tables that hold the tokens, with their schemas: what a
// migration of the store is about, beyond the configuration. Of tables that have one
// name in many schemas, a schema for each customer perhaps, it tells the name alone,
// since such schemas come and go.
func (p *Plan) Tables() string {
	schemas := map[string]int{}
	for _, t := range p.Match.Tables {
		schemas[t.Name]++
	}
	var names []string
	for _, t := range p.Match.Tables {
		name := t.SQL()
		if schemas[t.Name] > 1 {
			name = "*." + ident(t.Name)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

// Prepare connects to the source, finds out which variant of the store it has
// and returns how to read it. given are the configuration's parameters, keys its
// keys, both as Check accepts them.
//
// Errors: *source.ConfigError where the store is not there, is there more than
// once, or a key is wrong; *pgerr.Error.
func (s *Store) Prepare(ctx context.Context, cfg *pgx.ConnConfig, given Params, keys Keys) (*Plan, error) {
	db, err := Connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	c, err := db.Catalogue(ctx)
	if err != nil {
		return nil, err
	}
	m, err := s.choose(c, given)
	if err != nil {
		return nil, err
	}
	if err := db.readable(ctx, s, m); err != nil {
		return nil, err
	}
	p := &Plan{Store: s, Match: m, Query: s.SQL(m.Params), Warnings: append(slices.Clone(s.Warnings), m.Warnings...)}
	if s.Opener == nil {
		return p, nil
	}
	p.Open, err = s.Opener(ctx, db, m.Params, keys)
	var bad *cipher.KeyError
	if errors.As(err, &bad) {
		err = &source.ConfigError{Op: "read the keys of store " + s.Name, Problems: []string{"source.decrypt." + bad.Error()}}
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// choose returns the one match for what is given, whether or not the role may read
// its tables.
func (s *Store) choose(c *Catalogue, given Params) (Match, error) {
	op := "find store " + s.Name
	matches := s.Find(c, given)
	switch len(matches) {
	case 0:
		problem := "the database has no table that looks like store " + s.Name
		if _, ok := s.Param("table"); ok {
			problem += " by itself; name the table, and columns that are called otherwise, in source.params"
		}
		if problems := s.misnamed(c, given); len(problems) > 0 {
			return Match{}, &source.ConfigError{Op: op, Problems: problems}
		}
		if given["table"] != "" {
			problem = "source.params: table " + given["table"] + " lacks columns that the store has; name those that are called otherwise"
		}
		return Match{}, &source.ConfigError{Op: op, Problems: []string{problem + ". See `tokenmigrate stores " + s.Name + "` for its parameters, and `tokenmigrate init` for what is there"}}
	case 1:
		m := matches[0]
		found := m.Params
		m.Params = s.Defaults().With(found).With(given)
		for name, value := range given { // a table, which Find knows as the database spells it
			if t := c.Table(value); t != nil && value != "" && t.String() == found[name] {
				m.Params[name] = found[name]
			}
		}
		return m, nil
	}
	var list []string
	remedy := "; name one in source.params"
	if example := s.distinct(matches[0], matches); example != "" {
		remedy += ", such as params: {" + example + "}"
	}
	grant := ""
	for _, m := range matches {
		closed := ""
		if slices.ContainsFunc(m.Tables, func(t *Table) bool { return !t.Readable }) {
			closed = ", which the role may not read"
			grant = ", and grant the role USAGE on its schema and SELECT on it where it may not read it"
		}
		list = append(list, fmt.Sprintf("%s (%s%s)", s.distinct(m, matches), strings.ReplaceAll(m.Variant, "; ", ", "), closed))
	}
	return Match{}, &source.ConfigError{Op: op, Problems: []string{"there are several: " + strings.Join(list, ", ") + remedy + grant}}
}

// misnamed lists the table and columns that parameters name and the database has
// not. Without a table it is the one that there is but for the columns' names.
func (s *Store) misnamed(c *Catalogue, given Params) (problems []string) {
	t := c.Table(given["table"])
	if given["table"] == "" {
		others := maps.Clone(given)
		maps.DeleteFunc(others, func(name, _ string) bool { p, _ := s.Param(name); return p.column() })
		found := s.Find(c, others)
		if len(found) != 1 {
			return nil
		}
		t = found[0].Tables[0]
	}
	if t == nil {
		var names []string
		for _, other := range c.Tables {
			names = append(names, other.Name, other.String())
		}
		_, name := splitName(given["table"])
		return []string{"source.params.table: table " + given["table"] + " does not exist" + meant(name, names)}
	}
	var names []string
	for _, column := range t.Columns {
		names = append(names, column.Name)
	}
	for _, p := range s.AllParams() {
		if !p.column() {
			continue
		}
		for _, column := range given.List(p.Name) {
			if !t.Has(column) {
				problems = append(problems, "source.params."+p.Name+": table "+t.String()+" has no column "+column+meant(column, names))
			}
		}
	}
	return problems
}

// column reports whether the parameter names a column of the store's table.
func (p Param) column() bool {
	return strings.HasPrefix(p.Doc, "the column with ") || strings.HasPrefix(p.Doc, "the column that ") || p.Name == "key"
}

// meant suggests the name that is most like a wrong one.
func meant(name string, names []string) string {
	best, at := "", max(2, len(name)/3)+1
	for _, other := range names {
		if d := distance(strings.ToLower(name), strings.ToLower(other)); d < at {
			best, at = other, d
		}
	}
	if best == "" {
		return "; correct the name"
	}
	return "; did you mean " + best + "?"
}

// distance counts the bytes to insert, remove or change to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// distinct returns the parameters by which a match differs from the others.
func (s *Store) distinct(m Match, all []Match) string {
	var parts []string
	for _, param := range s.Params {
		differs := slices.ContainsFunc(all, func(o Match) bool { return o.Params[param.Name] != m.Params[param.Name] })
		if differs && m.Params[param.Name] != "" {
			parts = append(parts, param.Name+": "+m.Params[param.Name])
		}
	}
	return strings.Join(parts, ", ")
}

// Check lists what is wrong with parameters, each problem with the name it is
// about: an unknown one with the nearest known, a value that is none of the
// choices.
func (s *Store) Check(given Params) map[string]string {
	problems := map[string]string{}
	for name, value := range given {
		param, ok := s.Param(name)
		switch {
		case !ok:
			problems[name] = "is not a parameter of store " + s.Name
		case len(param.Choices) > 0 && value != "" && !slices.Contains(param.Choices, value):
			problems[name] = "must be one of " + strings.Join(param.Choices, ", ")
		case strings.ContainsRune(value, 0):
			problems[name] = "contains a NUL byte"
		}
	}
	return problems
}
