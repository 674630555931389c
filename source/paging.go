package source

import (
	"context"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// Paging is what a walk over the source costs, by the planner's word.
type Paging struct {
	Rows  int64 // about how many there are; with shards, of all of them
	Sorts bool  // every page sorts all rows that follow, for want of an index
	// Index is the statement that makes the index, "" unless Sorts and where the
	// table and its columns can be told from the plan.
	Index string
}

// worthAnIndex is the number of rows from which sorting for each page hurts: at
// that many, fifty pages of the default size each sort them.
const worthAnIndex = 50_000

// Large reports whether the rows are so many that an index is worth its while.
// Few are rightly sorted, also where there is an index.
func (p Paging) Large() bool { return p.Rows >= worthAnIndex }

// Paging looks at the plan of a page, without reading a row. Errors as of Page.
func (r *Reader) Paging(ctx context.Context) (Paging, error) {
	var p Paging
	err := r.do(ctx, "look at the plan of a page", func(ctx context.Context, conn *pgconn.PgConn) error {
		whole, err := explainPlan(ctx, conn, &r.sql.whole)
		if err != nil {
			return err
		}
		page, err := explainPlan(ctx, conn, &r.sql.firstPage, param{pgtype.Int8OID, []byte(strconv.Itoa(r.o.PageSize + 1))})
		if err != nil {
			return err
		}
		p = Paging{Rows: int64(whole.Rows), Sorts: page.sorts()}
		if p.Sorts {
			p.Index = page.index()
		}
		return nil
	})
	return p, err
}

// index returns the statement for an index that spares the plan its sort, or ""
// where the sort is not by plain columns of one ordinary table: anything else
// might quote a literal of the query.
func (p *plan) index() string {
	sort := p.find(func(n *plan) bool { return strings.Contains(n.Node, "Sort") })
	if sort == nil || len(sort.SortKey) == 0 {
		return ""
	}
	table, columns := "", []string(nil)
	for _, key := range sort.SortKey {
		parts := splitIdent(key)
		if len(parts) != 2 || table != "" && parts[0] != table {
			return ""
		}
		table, columns = parts[0], append(columns, parts[1])
	}
	scan := sort.find(func(n *plan) bool { return n.Relation != "" && quoteIdent(n.Alias) == table })
	if scan == nil || scan.Schema == "" {
		return ""
	}
	return "CREATE INDEX CONCURRENTLY ON " + quoteIdent(scan.Schema) + "." + quoteIdent(scan.Relation) + " (" + strings.Join(columns, ", ") + ")"
}

// find returns the first node of the plan for which is holds, or nil.
func (p *plan) find(is func(*plan) bool) *plan {
	if is(p) {
		return p
	}
	for i := range p.Plans {
		if found := p.Plans[i].find(is); found != nil {
			return found
		}
	}
	return nil
}

// splitIdent takes a name such as a."userId" apart at its dots, quotes kept. It
// returns nil for what is no name.
func splitIdent(name string) []string {
	var parts []string
	start := 0
	next := func(end int) bool {
		part := name[start:end]
		start = end + 1
		quoted := len(part) > 2 && part[0] == '"' && part[len(part)-1] == '"'
		parts = append(parts, part)
		return quoted || plainIdent(part)
	}
	inQuotes := false
	for i := range len(name) {
		switch {
		case name[i] == '"':
			inQuotes = !inQuotes
		case name[i] == '.' && !inQuotes:
			if !next(i) {
				return nil
			}
		}
	}
	if inQuotes || !next(len(name)) {
		return nil
	}
	return parts
}

// plainIdent reports whether a name needs no quotes, reserved words aside.
func plainIdent(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !(c == '_' || c >= 'a' && c <= 'z' || i > 0 && (c >= '0' && c <= '9' || c == '$')) {
			return false
		}
	}
	return name != ""
}

// quoteIdent quotes a name where it needs that, as the server does in plans.
func quoteIdent(name string) string {
	if plainIdent(name) {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}
