package stores

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"tokenmigrate/source"
)

// Draft is a table that no store takes for its own and that looks like a token
// store, with a query drafted for it.
type Draft struct {
	Table   *Table
	Columns []string // those that make it look like one
	Query   string
	// Missing are the output columns that a query must have and for which the table
	// shows no likely column: key, access_token, subject_id. Query is without them.
	Missing []string
	// Stores can read the table, if its values are encrypted by what these open,
	// with the parameter table.
	Stores  []*Store
	Notes   []string // what to decide, a sentence each
	Counts  Counts   // of the query's rows, where it is complete; Rows is at least the planner's estimate
	Problem error    // why the rows could not be looked at; nil: they were, or nobody tried
	// Sealed says why the values are taken to be encrypted, "" where they are not.
	// Then Store, if there is one that may open them, reads the table with Params, and
	// Query is of no use: a query opens nothing.
	Sealed string
	Store  *Store
	Params Params
	Keys   map[string]bool // names of Store's keys, and whether the values call for them

	guessed Params // columns by the names of tableColumns
	likely  int
}

// Complete reports whether the query has all columns that a query must have.
func (d *Draft) Complete() bool { return len(d.Missing) == 0 }

// drafts returns the tables that look like token stores and are not among the
// known ones, the likeliest first.
func drafts(c *Catalogue, known []*Table) []*Draft {
	isKnown := map[string]bool{}
	for _, t := range known {
		isKnown[t.SQL()] = true
	}
	open, _ := c.opened()
	var list []*Draft
	for _, t := range c.Tables {
		if isKnown[t.SQL()] {
			continue
		}
		if d := draftOf(t); d != nil {
			d.Stores = readers(open, d)
			d.byName(open)
			list = append(list, d)
		}
	}
	slices.SortStableFunc(list, func(a, b *Draft) int {
		return cmp.Or(cmp.Compare(b.likely, a.likely), cmp.Compare(b.Table.Rows, a.Table.Rows))
	})
	return list
}

// readers returns the stores with a cipher that can read a draft's table, if
// parameters name it and its columns.
func readers(c *Catalogue, d *Draft) []*Store {
	var list []*Store
	for _, s := range All() {
		if len(s.Keys) > 0 && d.paramsFor(c, s) != nil {
			list = append(list, s)
		}
	}
	return list
}

// paramsFor returns the fewest parameters with which a store reads the draft's
// table as its query does; nil: it cannot.
func (d *Draft) paramsFor(c *Catalogue, s *Store) Params {
	if _, named := s.Param("table"); !named {
		return nil
	}
	given := Params{"table": d.Table.String()}
	for _, name := range []string{"access_token", "refresh_token", "provider"} {
		found := s.Find(c, given)
		other := len(found) == 1 && found[0].Params[name] != d.guessed[name] && found[0].Params["provider_name"] == ""
		if _, ok := s.Param(name); ok && d.guessed[name] != "" && (other || len(found) == 0) {
			given[name] = d.guessed[name]
		}
	}
	if len(s.Find(c, given)) != 1 {
		return nil
	}
	return given
}

// draftOf returns the draft for a table, or nil where its columns do not look
// like those of tokens that others issued.
func draftOf(t *Table) *Draft {
	p := guess(t)
	d := &Draft{Table: t, Counts: Counts{Rows: t.Rows}, guessed: p}
	weigh := func(name string, weight int) {
		if p[name] != "" {
			d.Columns = append(d.Columns, p[name])
			d.likely += weight
		}
	}
	clear := fold(p["access_token"]) != "token" // a session's or an invitation's, more often
	if clear {
		weigh("access_token", 4)
	} else {
		weigh("access_token", 1)
	}
	weigh("response", 2)
	if d.likely == 0 {
		return nil
	}
	weigh("refresh_token", 4)
	weigh("provider", 1)
	weigh("external_subject", 1)
	weigh("scopes", 1)
	if !clear && d.likely < 3 || p["access_token"] == "" && d.likely < 3 {
		return nil
	}
	weigh("expires_at", 1)
	weigh("expires_in", 1)
	d.write(p)
	return d
}

// guess finds the columns of a token's parts by their names.
func guess(t *Table) Params {
	p := Params{}
	var own ownTable
	for _, col := range tableColumns {
		p[col.param.Name] = own.column(t, col, "")
	}
	if p["provider"] == "" {
		if name := t.First("provider_id", "providerId", "providerid"); name != "" && !notTexts.MatchString(t.Type(name)) {
			p["provider"] = name
		}
	}
	for _, c := range t.Columns { // google_refresh_token, slackAccessToken
		name := fold(c.Name)
		if !strings.Contains(name, "token") || strings.Contains(name, "expir") || strings.Contains(name, "type") || notTokens.MatchString(t.Type(c.Name)) {
			continue
		}
		if p["access_token"] == "" && strings.Contains(name, "access") {
			p["access_token"] = c.Name
		}
		if p["refresh_token"] == "" && strings.Contains(name, "refresh") {
			p["refresh_token"] = c.Name
		}
	}
	p["key"] = tableKey(t, p, nil)
	return p
}

// fold makes names comparable whatever their style.
func fold(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", "") }

// write drafts the query for the columns that were found.
func (d *Draft) write(p Params) {
	t := d.Table
	columns := []string{keySQL(p.List("key"))}
	add := func(param, as string) { columns = append(columns, optional(p[param], as)) }
	if kind := t.Type(p["provider"]); kind == "integer" || kind == "bigint" || kind == "smallint" || kind == "uuid" {
		columns = append(columns, ident(p["provider"])+"::text AS provider")
	} else {
		add("provider", "provider")
	}
	switch {
	case p["access_token"] != "":
		for _, name := range []string{"access_token", "refresh_token"} {
			if strings.HasPrefix(t.Type(p[name]), "json") { // a string's text, or an object's
				columns = append(columns, ident(p[name])+" #>> '{}' AS "+name)
			} else {
				add(name, name)
			}
		}
	case strings.HasPrefix(t.Type(p["response"]), "json"):
		for _, field := range []string{"access_token", "refresh_token"} {
			columns = append(columns, ident(p["response"])+" ->> '"+field+"' AS "+field)
		}
	}
	switch issued, lifetime := p["issued_at"], p["expires_in"]; {
	case p["expires_at"] != "":
		add("expires_at", "expires_at")
	case lifetime != "" && strings.HasPrefix(t.Type(issued), "timestamp") && !notSeconds(t.Type(lifetime)):
		columns = append(columns, ident(issued)+" + "+ident(lifetime)+" * interval '1 second' AS expires_at")
		d.note("expires_at is taken to be " + issued + " and " + lifetime + " seconds: see that " + issued + " changes only when the token does.")
	default:
		d.note("No column tells when an access token expires: missing_expiry says for how long it is taken to last.")
	}
	add("refresh_token_expires_at", "refresh_token_expires_at")
	for _, as := range [][2]string{{"user_id", "subject_id"}, {"scopes", "scopes"}, {"external_subject", "external_subject"}, {"tenant", "tenant"}} {
		add(as[0], as[1])
	}
	for _, must := range []struct{ name, column, remedy string }{
		{"key", p["key"], "tells rows apart (an id that is unique and never NULL)"},
		{"access_token", p["access_token"] + p["response"], "holds the access token"},
		{"subject_id", p["user_id"], "says whose the token is"},
	} {
		if must.column == "" || must.name == "access_token" && p["access_token"] == "" && !strings.HasPrefix(t.Type(p["response"]), "json") {
			d.Missing = append(d.Missing, must.name)
			d.note("No column was found that " + must.remedy + ": add one to the query as " + must.name + ".")
		}
	}
	d.Query = selectSQL(tableSQL(t.String()), columns...)
	where := "\nWHERE "
	for _, name := range []string{"deleted_at", "revoked_at"} {
		if p[name] != "" {
			d.Query += where + unmarked(t, p[name])
			where = "\n  AND "
			d.note("Rows that " + p[name] + " marks are left out as dead: see that it means this.")
		}
	}
}

// unmarked is a condition for rows that a column, which marks deleted or revoked
// ones by a time or by true, does not mark.
func unmarked(t *Table, column string) string {
	switch kind := t.Type(column); {
	case kind == "boolean":
		return ident(column) + " IS NOT TRUE"
	case kind == "date" || strings.HasPrefix(kind, "timestamp"):
		return ident(column) + " IS NULL"
	}
	return "coalesce(" + ident(column) + "::text, '') IN ('', 'false', 'f', 'no', '0')"
}

func (d *Draft) note(text string) { d.Notes = append(d.Notes, text) }

// notSeconds reports whether a type cannot be multiplied with an interval.
func notSeconds(kind string) bool {
	return !slices.Contains([]string{"smallint", "integer", "bigint", "real", "double precision"}, kind)
}

// atDraft looks at the rows of a drafted query.
func (s *survey) atDraft(ctx context.Context, c *Catalogue, d *Draft) error {
	if !d.Table.Readable || !d.Complete() {
		return nil
	}
	err := s.count(ctx, d.Query, &d.Counts)
	if err == nil && s.left() > 0 {
		s.db.Close() // a pool may have no more than one connection for us
		// Also the reader must take it: columns' types, keys.
		var r *source.Reader
		look := newLook()
		r, err = source.Open(ctx, s.cfg, source.Options{Query: d.Query, Open: look, PageSize: sampleRows, Routes: source.Routes{Connector: "sample"}})
		if err == nil {
			_, err = r.Page(ctx, source.Cursor{})
			r.Close()
			d.byValue(c, look)
		}
	}
	if err == nil || lost(err) {
		return err
	}
	d.Problem = err
	return nil
}
