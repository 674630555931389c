package stores

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint/pgerr"
	"tokenmigrate/source"
)

// Survey is what a look at a database found. It holds names and numbers, and no
// value of a token's column.
type Survey struct {
	Database, User, ServerVersion string

	Tables int // tables and views that the catalogue shows, those of the server aside
	// Found are the places where known stores' tokens are: readable ones first, of
	// these the one with most tokens first.
	Found []*Found
	// Drafts are other tables that look like token stores, the likeliest first. Only
	// the rows of the First are counted.
	Drafts []*Draft
	// First is the draft that goes before Found: the only place, or the chosen one.
	First *Draft
	// Answers are things that were recognised and keep no tokens, see Store.NoStore.
	Answers []*Store
}

// Found is one place where a store's tokens are.
type Found struct {
	Store *Store
	Match Match
	// Except are columns of the store that the table has by other names, or not at
	// all: it was recognised by the others, and Params name what stands for them.
	Except []string
	Params Params // the fewest with which the store is read from here, and from nowhere else
	Query  string
	Counts Counts
	Sample Sample
	// Unreadable are the tables that the role may not read. Then nothing is counted.
	Unreadable []*Table
	// Problem says why the rows could not be looked at though the catalogue lets the
	// role read the tables; nil: they were.
	Problem error
}

// Limits of a Recognise.
type Limits struct {
	// Count bounds the counting of one place; 0 is 10 s. What takes longer is told
	// by the planner's estimate and by the first rows.
	Count time.Duration
	First int64 // the number of those rows; 0 is 10,000
	// All bounds looking at the rows of all places; 0 is a minute. Of what is left
	// then, only estimates are told.
	All time.Duration
	// Store and Table, unless empty, choose the place that comes first among those of
	// the survey: by a store's name, by a table's.
	Store, Table string
}

// ErrNotThere: the database has no place such as Limits chooses.
var ErrNotThere = errors.New("there is no such place")

// notThere is an ErrNotThere in words of its own.
type notThere string

func (e notThere) Error() string        { return string(e) }
func (e notThere) Is(target error) bool { return target == ErrNotThere }

// Recognise connects to a database, finds out which stores' tables are there, and
// counts their rows and tokens. It reads the catalogue, counts of rows by provider,
// and, to find out whether values are encrypted, some first and last rows, of which
// it keeps no value. It reads at most a few thousand rows where counting takes too
// long.
//
// Errors: *pgerr.Error, of the connection or the catalogue. What is wrong with one
// place is in its Found.
func Recognise(ctx context.Context, cfg *pgx.ConnConfig, limits Limits) (*Survey, error) {
	if limits.Count == 0 {
		limits.Count = 10 * time.Second
	}
	if limits.First == 0 {
		limits.First = 10_000
	}
	if limits.All == 0 {
		limits.All = time.Minute
	}
	db, err := Connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	s := &Survey{}
	if err := db.introduce(ctx, s); err != nil {
		return nil, err
	}
	c, err := db.Catalogue(ctx)
	if err != nil {
		return nil, err
	}
	s.Tables = len(c.Tables)
	var known []*Table
	s.Found, s.Answers, known = findAll(c)
	near := nearly(c, known)
	s.Found = append(s.Found, near...)
	for _, f := range near {
		known = append(known, f.Match.Tables...)
	}
	s.Drafts = drafts(c, known)
	look := survey{db: db, cfg: cfg, limits: limits, until: time.Now().Add(limits.All)}
	for _, f := range s.Found {
		if err := look.at(ctx, f); err != nil {
			return nil, err
		}
	}
	rank(s.Found)
	if err := s.choose(c, limits); err != nil || s.First == nil {
		return s, err
	}
	open, _ := c.opened()
	err = look.atDraft(ctx, open, s.First)
	if limits.Store != "" && (s.First.Store == nil || s.First.Store.Name != limits.Store) { // its values do not look like it
		s.First.seal(open, "it was asked for", limits.Store)
	}
	return s, err
}

// choose brings the place that limits name, or else the likeliest, to the front.
func (s *Survey) choose(c *Catalogue, limits Limits) error {
	if limits.Store == "" && limits.Table == "" {
		if len(s.Found) == 0 && len(s.Drafts) > 0 {
			s.First = s.Drafts[0]
		}
		return nil
	}
	var table *Table
	if limits.Table != "" {
		if table = c.Table(limits.Table); table == nil {
			return notThere("no table is called " + limits.Table)
		}
	}
	this := func(t *Table) bool { return table == nil || t.SQL() == table.SQL() }
	for i, f := range s.Found {
		if (limits.Store == "" || f.Store.Name == limits.Store) && slices.ContainsFunc(f.Match.Tables, this) {
			s.Found = append([]*Found{f}, slices.Delete(slices.Clone(s.Found), i, i+1)...)
			return nil
		}
	}
	for i, d := range s.Drafts {
		if (limits.Store == "" || slices.ContainsFunc(d.Stores, func(r *Store) bool { return r.Name == limits.Store })) && this(d.Table) {
			s.Drafts = append([]*Draft{d}, slices.Delete(slices.Clone(s.Drafts), i, i+1)...)
			s.First = d
			return nil
		}
	}
	if limits.Table != "" && limits.Store == "" {
		return notThere("table " + table.SQL() + " does not look like a store of tokens. If it is one, write a query of your own: the README tells its columns")
	}
	return notThere("no table looks like one of store " + limits.Store)
}

func (d *DB) introduce(ctx context.Context, s *Survey) error {
	type row struct{ Database, User, Version string }
	rows, err := collect[row](ctx, d, "look at the source", "SELECT current_database()::text, current_user::text, current_setting('server_version')")
	if err != nil {
		return err
	}
	s.Database, s.User, s.ServerVersion = rows[0].Database, rows[0].User, rows[0].Version
	return nil
}

// findAll asks every store what of the catalogue is its own, as if the role might
// read every table: what it may not read is worth a word, too.
func findAll(c *Catalogue) (found []*Found, answers []*Store, known []*Table) {
	open, closed := c.opened()
	for _, s := range All() {
		if s.Find == nil {
			continue
		}
		matches := s.Find(open, nil)
		for _, m := range matches {
			known = append(known, m.Tables...)
		}
		if s.NoStore != "" {
			if len(matches) > 0 {
				answers = append(answers, s)
			}
			continue
		}
		for _, m := range matches {
			f := foundAt(open, closed, s, m)
			found = append(found, f)
		}
	}
	return found, answers, known
}

// foundAt tells of a match in the catalogue open, a copy whose tables in closed
// the role may not read.
func foundAt(open *Catalogue, closed map[*Table]bool, s *Store, m Match) *Found {
	m.Params = s.Defaults().With(m.Params)
	f := &Found{Store: s, Match: m, Params: s.fewest(open, m), Query: s.SQL(m.Params)}
	for _, t := range slices.Concat(m.Tables, m.Beside) {
		if closed[t] {
			f.Unreadable = append(f.Unreadable, t)
		}
	}
	f.Counts.Rows = m.Tables[0].Rows
	return f
}

// nearly finds, among the tables that no store takes for its own, those that look
// like a store's but for a column or two: whose columns may be renamed.
func nearly(c *Catalogue, known []*Table) []*Found {
	isKnown := map[string]bool{}
	for _, t := range known {
		isKnown[t.SQL()] = true
	}
	open, closed := c.opened()
	var found []*Found
	for _, t := range open.Tables {
		for _, s := range All() {
			if isKnown[t.SQL()] || s.Find == nil || s.NoStore != "" {
				continue
			}
			given, except := s.renamed(t)
			if given == nil {
				continue
			}
			if matches := s.Find(open, given); len(matches) == 1 && matches[0].Tables[0] == t {
				f := foundAt(open, closed, s, matches[0])
				f.Params, f.Except = given, except
				found = append(found, f)
				isKnown[t.SQL()] = true
			}
		}
	}
	return found
}

// renamed returns the parameters by which a table is the store's though it lacks
// one or two of its columns, and which these are; nil where it is not, or where
// the store has no parameters for its columns.
func (s *Store) renamed(t *Table) (given Params, except []string) {
	if _, ok := s.Param("table"); !ok {
		return nil, nil
	}
	guessed := guess(t)
	given = Params{"table": t.String()}
	own := 0
	for _, p := range s.Params {
		if p.Name == "table" || p.Name == "key" || p.Default == "" || !strings.Contains(p.Doc, "column") {
			continue
		}
		if t.First(p.Default, p.Name, strings.ToLower(p.Default)) != "" {
			own++
			continue
		}
		except = append(except, p.Default)
		alike := map[string]string{"provider_id": "provider", "account_id": "external_subject", "access_token_expires_at": "expires_at", "scope": "scopes"}[p.Name]
		if column := guessed[cmp.Or(alike, p.Name)]; column != "" {
			given[p.Name] = column
		}
	}
	if own < 5 || len(except) == 0 || len(except) > 2 {
		return nil, nil
	}
	return given, except
}

// opened returns a copy of the catalogue in which every table is readable, and
// the tables of the copy that are not.
func (c *Catalogue) opened() (open *Catalogue, closed map[*Table]bool) {
	open, closed = &Catalogue{}, map[*Table]bool{}
	for _, t := range c.Tables {
		again := *t
		again.Readable = true
		closed[&again] = !t.Readable
		open.Tables = append(open.Tables, &again)
	}
	return open, closed
}

// fewest returns the parameters that lead from the catalogue to m: those tables
// that have not their usual name, and what else it takes to find m alone.
func (s *Store) fewest(c *Catalogue, m Match) Params {
	alone := func(given Params) bool {
		matches := s.Find(c, given)
		return len(matches) == 1 && maps.Equal(s.Defaults().With(matches[0].Params).With(given), m.Params)
	}
	given := Params{}
	if _, ok := s.Param("table"); ok && m.Params["table"] != s.Defaults()["table"] {
		given["table"] = m.Params["table"]
	}
	if alone(given) {
		return given
	}
	for _, p := range s.AllParams() { // in the order of their weight, the table first
		if m.Params[p.Name] == "" || given[p.Name] != "" {
			continue
		}
		given[p.Name] = m.Params[p.Name]
		if alone(given) {
			return given
		}
	}
	return given
}

// rank sorts: readable places first, then by tokens, then tables before views, and
// else as found.
func rank(found []*Found) {
	later := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(found, func(a, b *Found) int {
		return cmp.Or(
			cmp.Compare(later(!a.Read()), later(!b.Read())),
			cmp.Compare(b.Counts.Tokens(), a.Counts.Tokens()),
			cmp.Compare(later(a.Match.Tables[0].derived()), later(b.Match.Tables[0].derived())),
		)
	})
}

// Read reports whether the rows could be looked at.
func (f *Found) Read() bool { return len(f.Unreadable) == 0 && f.Problem == nil }

// derived reports whether the table only shows what other tables hold.
func (t *Table) derived() bool { return t.Kind == "view" || t.Kind == "materialized view" }

// Grant returns the statements that let a role read the table.
func (t *Table) Grant(role string) string {
	return "GRANT USAGE ON SCHEMA " + ident(t.Schema) + " TO " + ident(role) + "; GRANT SELECT ON " + t.SQL() + " TO " + ident(role) + ";"
}

// survey is a Recognise at work.
type survey struct {
	db     *DB
	cfg    *pgx.ConnConfig
	limits Limits
	until  time.Time // when the time for looking at rows is over
}

// left returns how much of the time for looking at rows is left.
func (s *survey) left() time.Duration { return time.Until(s.until) }

// at looks at the rows of one place. Its error is one of the connection.
func (s *survey) at(ctx context.Context, f *Found) error {
	if len(f.Unreadable) > 0 {
		return nil
	}
	err := s.count(ctx, f.Query, &f.Counts)
	if err == nil && s.left() > 0 {
		// Past its time, or where the server gives it no connection, nothing is known of
		// the values; the rest of what was found is worth telling all the same.
		look, cancel := context.WithDeadline(ctx, s.until.Add(time.Second))
		defer cancel()
		if err = s.sampleOf(look, f); lost(err) && ctx.Err() == nil {
			f.Sample = Sample{}
			return nil
		}
	}
	if err == nil || lost(err) {
		return err
	}
	f.Problem = err
	return nil
}

// sampleOf looks at some rows. Where the store's Opener wants its keys first, it
// looks at none.
func (s *survey) sampleOf(ctx context.Context, f *Found) error {
	var inner source.Opener
	if f.Store.Opener != nil {
		var err error
		if inner, err = f.Store.Opener(ctx, s.db, f.Match.Params, nil); lost(err) {
			return err
		} else if err != nil {
			return nil
		}
	}
	return s.sample(ctx, f.Query, f.Store, inner, !f.Counts.slow, &f.Sample)
}

// lost reports that an error speaks of the connection or the command's end, and
// not of the tables.
func lost(err error) bool {
	var pg *pgerr.Error
	var config *source.ConfigError
	return !errors.As(err, &config) && errors.As(err, &pg) && pg.Class != pgerr.Stop && pg.Code != "57014"
}
