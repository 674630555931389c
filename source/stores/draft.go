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

	likely int
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
			d.Stores = readers(open, t)
			list = append(list, d)
		}
	}
	slices.SortStableFunc(list, func(a, b *Draft) int {
		return cmp.Or(cmp.Compare(b.likely, a.likely), cmp.Compare(b.Table.Rows, a.Table.Rows))
	})
	return list
}

// readers returns the stores with a cipher that can read a table which their
// parameter names.
func readers(c *Catalogue, t *Table) []*Store {
	var list []*Store
	for _, s := range All() {
		if _, named := s.Param("table"); named && len(s.Keys) > 0 && len(s.Find(c, Params{"table": t.String()})) > 0 {
			list = append(list, s)
		}
	}
	return list
}

// draftOf returns the draft for a table, or nil where its columns do not look
// like those of tokens that others issued.
func draftOf(t *Table) *Draft {
	p := guess(t)
	d := &Draft{Table: t, Counts: Counts{Rows: t.Rows}}
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
		add("access_token", "access_token")
		add("refresh_token", "refresh_token")
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
	for _, name := range []string{"deleted_at", "revoked_at"} {
		if p[name] != "" {
			d.note("Rows that " + p[name] + " marks are read like all others: leave them out with WHERE if they are dead.")
		}
	}
	d.Query = selectSQL(tableSQL(t.String()), columns...)
}

func (d *Draft) note(text string) { d.Notes = append(d.Notes, text) }

// notSeconds reports whether a type cannot be multiplied with an interval.
func notSeconds(kind string) bool {
	return !slices.Contains([]string{"smallint", "integer", "bigint", "real", "double precision"}, kind)
}

// atDraft looks at the rows of a drafted query.
func (s *survey) atDraft(ctx context.Context, d *Draft) error {
	if !d.Table.Readable || !d.Complete() {
		return nil
	}
	err := s.count(ctx, d.Query, &d.Counts)
	if err == nil {
		// Also the reader must take it: columns' types, keys.
		var r *source.Reader
		r, err = source.Open(ctx, s.cfg, source.Options{Query: d.Query, Routes: source.Routes{Connector: "sample"}})
		if err == nil {
			r.Close()
		}
	}
	if err == nil || lost(err) {
		return err
	}
	d.Problem = err
	return nil
}
