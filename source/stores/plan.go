package stores

import (
	"context"
	"errors"
	"fmt"
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

// choose returns the one match for what is given.
func (s *Store) choose(c *Catalogue, given Params) (Match, error) {
	op := "find store " + s.Name
	matches := s.Find(c, given)
	switch len(matches) {
	case 0:
		problem := "the database has no table that looks like store " + s.Name
		if _, ok := s.Param("table"); ok {
			problem += " by itself; name the table, and columns that are called otherwise, in source.params"
		}
		if name := given["table"]; name != "" {
			problem = "source.params: there is no table " + name + " with the columns that the parameters name"
			if t := c.Table(name); t != nil && !t.Readable {
				problem = "the role may not read table " + t.SQL() + "; grant it USAGE on the schema and SELECT on the table"
			}
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
	for _, m := range matches {
		list = append(list, fmt.Sprintf("%s (%s)", s.distinct(m, matches), m.Variant))
	}
	return Match{}, &source.ConfigError{Op: op, Problems: []string{
		"there are several: " + strings.Join(list, "; ") + ". Say which in source.params"}}
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
