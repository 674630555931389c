package stores

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Catalogue is what a database's catalogue tells: no row of any table.
type Catalogue struct {
	Tables []*Table // those of the search path first, in its order; then by name
}

// Table is a table or view of the catalogue.
type Table struct {
	Schema, Name string
	Kind         string   // table, partitioned table, view, materialized view, foreign table
	Columns      []Column // in their order
	Rows         int64    // as the planner last knew; -1 if it never did
	InPath       bool     // its name alone finds it
	Readable     bool     // the role may SELECT from it
}

// Column is a column of a Table.
type Column struct {
	Name    string
	Type    string // as SQL writes it: "character varying(255)", "timestamp without time zone"
	NotNull bool
	Key     bool // alone the primary key, or alone unique and not null
}

// SQL returns the table's name for a query: quoted where needed, with its schema.
func (t *Table) SQL() string { return ident(t.Schema) + "." + ident(t.Name) }

// String returns the table's name as a parameter has it: without the schema
// where the name alone finds it.
func (t *Table) String() string {
	if t.InPath {
		return ident(t.Name)
	}
	return t.SQL()
}

// Column returns the column of that name.
func (t *Table) Column(name string) (Column, bool) { return byName(t.Columns, name, Column.name) }

func (c Column) name() string { return c.Name }

// Has reports whether the table has all these columns.
func (t *Table) Has(columns ...string) bool {
	for _, name := range columns {
		if _, ok := t.Column(name); !ok {
			return false
		}
	}
	return true
}

// First returns the first of these columns that the table has, or "".
func (t *Table) First(columns ...string) string {
	for _, name := range columns {
		if t.Has(name) {
			return name
		}
	}
	return ""
}

// Type returns a column's type without its length ("character varying"), or "".
func (t *Table) Type(column string) string {
	c, _ := t.Column(column)
	if open := strings.IndexByte(c.Type, '('); open >= 0 {
		if end := strings.IndexByte(c.Type, ')'); end > open {
			return c.Type[:open] + c.Type[end+1:]
		}
	}
	return c.Type
}

// With returns the tables that have all these columns.
func (c *Catalogue) With(columns ...string) []*Table {
	var tables []*Table
	for _, t := range c.Tables {
		if t.Has(columns...) {
			tables = append(tables, t)
		}
	}
	return tables
}

// Table returns the table that a parameter names: "accounts", "auth.accounts",
// `public."Account"`. Unquoted names match in any case where no table has the
// exact one. Nil if there is none.
func (c *Catalogue) Table(name string) *Table {
	schema, table := splitName(name)
	same := func(a, b string) bool { return a == b }
	for _, equal := range []func(string, string) bool{same, strings.EqualFold} {
		for _, t := range c.Tables {
			if equal(t.Name, table) && (schema == "" || equal(t.Schema, schema)) {
				return t
			}
		}
	}
	return nil
}

// Named returns the tables of one of these names, in any schema.
func (c *Catalogue) Named(names ...string) []*Table {
	var tables []*Table
	for _, t := range c.Tables {
		if slices.Contains(names, t.Name) {
			tables = append(tables, t)
		}
	}
	return tables
}

// Beside returns the table of that name in the schema of t, or nil.
func (c *Catalogue) Beside(t *Table, name string) *Table {
	for _, other := range c.Tables {
		if other.Schema == t.Schema && other.Name == name {
			return other
		}
	}
	return nil
}

// splitName takes a possibly quoted and qualified name apart. The schema is ""
// where the name has none.
func splitName(name string) (schema, table string) {
	var parts []string
	var part strings.Builder
	quoted := false
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c == '"' && quoted && i+1 < len(name) && name[i+1] == '"':
			part.WriteByte('"')
			i++
		case c == '"':
			quoted = !quoted
		case c == '.' && !quoted:
			parts = append(parts, part.String())
			part.Reset()
		default:
			part.WriteByte(c)
		}
	}
	table = strings.TrimSpace(part.String())
	return strings.TrimSpace(strings.Join(parts, ".")), table
}

// ident quotes a name for a query where it needs that.
func ident(name string) string {
	plain := name != "" && !reserved[name]
	for i := range len(name) {
		c := name[i]
		plain = plain && (c == '_' || c >= 'a' && c <= 'z' || i > 0 && c >= '0' && c <= '9')
	}
	if plain {
		return name
	}
	return pgx.Identifier{name}.Sanitize()
}

// reserved are the words that Postgres takes for no column's or table's name unless
// they are quoted: of 18, and so of all before.
var reserved = func() map[string]bool {
	words := map[string]bool{}
	for word := range strings.FieldsSeq(`
		all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create current_catalog
		current_date current_role current_time current_timestamp current_user default deferrable desc distinct do else end except
		false fetch for foreign from grant group having in initially intersect into lateral leading limit localtime localtimestamp
		not null offset on only or order placing primary references returning select session_user some symmetric system_user table
		then to trailing true union unique user using variadic when where window with
		authorization binary collation concurrently cross current_schema freeze full ilike inner is isnull join left like natural
		notnull outer overlaps right similar tablesample verbose`) {
		words[word] = true
	}
	return words
}()

// tableSQL returns a table parameter for a query: `public."Account"` as it is
// meant, each part quoted where needed.
func tableSQL(name string) string {
	schema, table := splitName(name)
	if schema == "" {
		return ident(table)
	}
	return ident(schema) + "." + ident(table)
}

// literal quotes a text for a query.
func literal(text string) string {
	quoted := "'" + strings.ReplaceAll(text, "'", "''") + "'"
	if strings.Contains(text, `\`) {
		return "E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}

// Catalogue reads the database's catalogue: all that is not the server's own.
func (d *DB) Catalogue(ctx context.Context) (*Catalogue, error) {
	type row struct {
		OID              uint32
		Schema, Name     string
		Kind             string
		Rows             int64
		InPath, Readable bool
	}
	const op = "look at the source's catalogue"
	found, err := collect[row](ctx, d, op, `
SELECT c.oid, n.nspname::text, c.relname::text,
  CASE c.relkind WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' ELSE 'table' END,
  CASE WHEN c.relkind = 'p' THEN (SELECT coalesce(sum(greatest(p.reltuples, 0)), 0) FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class p ON p.oid = i.inhrelid WHERE i.inhparent = c.oid)
    WHEN c.reltuples = 0 AND c.relpages = 0 THEN -1 ELSE c.reltuples END::bigint,
  pg_catalog.pg_table_is_visible(c.oid),
  pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_any_column_privilege(c.oid, 'SELECT')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
ORDER BY array_position(pg_catalog.current_schemas(false), n.nspname), n.nspname, c.relname`)
	if err != nil {
		return nil, err
	}
	type column struct {
		Table        uint32
		Name, Type   string
		NotNull, Key bool
	}
	columns, err := collect[column](ctx, d, op, `
SELECT a.attrelid, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,
  EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
    AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum AND (i.indisprimary OR a.attnotnull))
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
ORDER BY a.attrelid, a.attnum`)
	if err != nil {
		return nil, err
	}
	c := &Catalogue{}
	byOID := make(map[uint32]*Table, len(found))
	for _, r := range found {
		t := &Table{Schema: r.Schema, Name: r.Name, Kind: r.Kind, Rows: r.Rows, InPath: r.InPath, Readable: r.Readable}
		byOID[r.OID] = t
		c.Tables = append(c.Tables, t)
	}
	for _, col := range columns {
		if t := byOID[col.Table]; t != nil {
			t.Columns = append(t.Columns, Column{col.Name, col.Type, col.NotNull, col.Key})
		}
	}
	return c, nil
}
