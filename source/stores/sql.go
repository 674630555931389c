package stores

import (
	"slices"
	"strings"
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
// parameter table names, or else all that the role may read; with these columns.
func candidates(c *Catalogue, given Params, columns ...string) []*Table {
	if given["table"] != "" {
		if t := c.Table(given["table"]); t != nil && t.Readable && t.Has(columns...) {
			return []*Table{t}
		}
		return nil
	}
	return slices.DeleteFunc(c.With(columns...), func(t *Table) bool { return !t.Readable })
}
