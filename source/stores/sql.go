package stores

import (
	"slices"
	"strings"

	"tokenmigrate/source"
)

// selectSQL writes a SELECT, a column a line; empty columns are left out.
func selectSQL(from string, columns ...string) string {
	columns = slices.DeleteFunc(slices.Clone(columns), func(c string) bool { return c == "" })
	return "SELECT " + strings.Join(columns, ",\n  ") + "\nFROM " + from
}

// keySQL selects key columns: one as key, two as key and key_2.
func keySQL(columns []string) string {
	names := []string{"key", "key_2"}
	var list []string
	for i, column := range columns[:min(len(columns), 2)] {
		list = append(list, ident(column)+" AS "+names[i])
	}
	return strings.Join(list, ",\n  ")
}

// optional selects a column under another name, or nothing where there is none.
func optional(column, as string) string {
	if column == "" {
		return ""
	}
	return ident(column) + " AS " + as
}

// or returns the value of a parameter as the only choice, or these where it is
// not given.
func (p Params) or(name string, choices ...string) []string {
	if p[name] != "" {
		return []string{p[name]}
	}
	return choices
}

// candidates returns the tables that may be a store's: the one that the
// parameter table names, or else all; with these columns. The role may not be able
// to read them: were those left out, the one that it may read, an archive perhaps,
// would be taken for the store.
func candidates(c *Catalogue, given Params, columns ...string) []*Table {
	if given["table"] != "" {
		if t := c.Table(given["table"]); t != nil && t.Has(columns...) {
			return []*Table{t}
		}
		return nil
	}
	return c.With(columns...)
}

// pick returns the column that a parameter names, or the first of these where
// it is not given; "" if the table has none of them.
func (t *Table) pick(given Params, param string, columns ...string) string {
	return t.First(given.or(param, columns...)...)
}

// companion returns the table that holds a part of what t holds: the one that
// given names in param, or else, in the schema of t, the one called name. Where
// none is called so, it may have another name: then it is the only table there
// with these columns, if they are such as no other thing's table has. Nil if there
// is none. The role may not be able to read it: a match has it among its Tables or
// Beside, so that Prepare refuses that, since without it rows would mean something
// else.
func companion(c *Catalogue, given Params, param string, t *Table, name string, columns ...string) *Table {
	other := c.Beside(t, name)
	if given[param] != "" {
		other = c.Table(given[param])
	}
	if other != nil || given[param] != "" {
		if other != nil && other.Has(columns...) {
			return other
		}
		return nil
	}
	if !distinctive(columns) {
		return nil
	}
	for _, like := range c.With(columns...) {
		if like == t || like.Schema != t.Schema {
			continue
		}
		if other != nil {
			return nil // which of them it is, only a parameter can tell
		}
		other = like
	}
	return other
}

// generic columns are those that tables of all kinds of things have.
var generic = []string{"id", "name", "slug", "type", "kind", "value", "key", "user_id", "workspace_id", "tenant_id", "created_at", "updated_at"}

// distinctive reports whether columns tell by themselves what a table is for: two
// of them are not generic.
func distinctive(columns []string) bool {
	return len(slices.DeleteFunc(slices.Clone(columns), func(c string) bool { return slices.Contains(generic, c) })) >= 2
}

// quotedList writes texts as a list for IN; none: a list that holds nothing.
func quotedList(texts []string) string {
	if len(texts) == 0 {
		return "(NULL)"
	}
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = literal(text)
	}
	return "(" + strings.Join(quoted, ", ") + ")"
}

// sibling returns the table of that name in the schema of a table parameter, for
// a query.
func sibling(table, name string) string {
	schema, _ := splitName(table)
	if schema == "" {
		return ident(name)
	}
	return ident(schema) + "." + ident(name)
}

// coalesce selects the first of these expressions that is not NULL, or nothing
// where there are none.
func coalesce(expressions []string, as string) string {
	switch len(expressions) {
	case 0:
		return ""
	case 1:
		return expressions[0] + " AS " + as
	}
	return "coalesce(" + strings.Join(expressions, ", ") + ") AS " + as
}

// skipSQL selects the skip column: of whens, in their order, those that are not
// empty. Nothing where all are.
func skipSQL(whens ...string) string {
	whens = slices.DeleteFunc(whens, func(w string) bool { return w == "" })
	if len(whens) == 0 {
		return "NULL::text AS skip"
	}
	return "CASE " + strings.Join(whens, "\n    ") + " END AS skip"
}

// when leaves rows out for a reason where a condition holds; nothing unless
// there is what the condition speaks of.
func when(there bool, condition string, reason source.Reason) string {
	if !there {
		return ""
	}
	return "WHEN " + condition + " THEN " + literal(string(reason))
}

// millis is an expression for a timestamp's Unix milliseconds, as an Opener
// reads them; NULL for infinite ones.
func millis(column string) string {
	return "CASE WHEN isfinite(" + column + ") THEN floor(extract(epoch FROM " + column + ") * 1000)::bigint END"
}
