package stores

import (
	"context"
	"slices"

	"tokenmigrate/source"
)

// readable refuses a match with tables that the role may not read. Without one of
// them rows would get other owners, or none, and nothing else would tell.
func (d *DB) readable(ctx context.Context, s *Store, m Match) error {
	var closed []*Table
	for _, t := range slices.Concat(m.Tables, m.Beside) {
		if !t.Readable && !slices.Contains(closed, t) {
			closed = append(closed, t)
		}
	}
	if len(closed) == 0 {
		return nil
	}
	var problems []string
	for _, t := range closed {
		problems = append(problems, d.mayNotRead(ctx, t))
	}
	return &source.ConfigError{Op: "find store " + s.Name, Problems: problems}
}

// mayNotRead says that the role may not read a table, and what lets it.
func (d *DB) mayNotRead(ctx context.Context, t *Table) string {
	role := "the_role" // told by its place where the server does not tell it
	type row struct{ User string }
	if rows, err := collect[row](ctx, d, "look at the source", "SELECT current_user::text"); err == nil && len(rows) == 1 {
		role = rows[0].User
	}
	return "the role may not read table " + t.SQL() + ", which belongs to the store; let it: " + t.Grant(role)
}
