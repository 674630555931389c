package stores

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint/pgerr"
	"tokenmigrate/source"
)

const (
	// providersAtMost are told apart; a column with more is hardly a provider's name.
	providersAtMost = 200
	// groupsAtMost are read, the largest: each is a provider's rows of one fate.
	groupsAtMost = 1000
	// nameAtMost is how long a provider's name may be, in characters.
	nameAtMost = 64
	// manyProviders are those from which on a column with a value of its own in most
	// rows is taken for no provider's.
	manyProviders = 20
	// sampleRows are read from either end.
	sampleRows = 500
)

// Counts are how many rows and tokens a query gives.
type Counts struct {
	// Rows of all; where not Exact, the planner's estimate, -1 if it has none.
	Rows  int64
	Exact bool
	// Of is how many rows Providers are about: all, or the first ones; 0: not counted.
	Of         int64
	Providers  []ProviderCount // most tokens first
	More       bool            // there are more providers than are told
	ByProvider bool            // the query has a provider column; else Providers is one entry at most
	HasExpiry  bool            // the query has a column for it; where not, NoExpiry counts nothing

	slow bool // counting all took too long
}

// ProviderCount are the rows of one provider.
type ProviderCount struct {
	Provider string // "" of rows without
	// Untold: these are the rows of all providers that are not told, Provider is "". A
	// value that looks like a credential or an e-mail address, or is too long for a
	// name, is none; where most rows have a value of their own, all are none.
	Untold   bool
	Rows     int64
	Tokens   int64 // rows that the query does not leave out
	NoExpiry int64 // tokens without a known expiry
	Skipped  map[source.Reason]int64
}

// Tokens returns the number of tokens: counted, or estimated from the first rows.
func (c Counts) Tokens() int64 {
	var tokens int64
	for _, p := range c.Providers {
		tokens += p.Tokens
	}
	if c.Exact || c.Of == 0 {
		return tokens
	}
	return int64(float64(tokens) / float64(c.Of) * float64(max(c.Rows, c.Of)))
}

// Skipped returns how many of the counted rows the query leaves out, by reason.
func (c Counts) Skipped() map[source.Reason]int64 {
	sum := map[source.Reason]int64{}
	for _, p := range c.Providers {
		for reason, n := range p.Skipped {
			sum[reason] += n
		}
	}
	return sum
}

// count counts a query's rows, or the first ones where that takes too long.
// c.Rows is the planner's estimate of the table before, if there is one.
func (s *survey) count(ctx context.Context, query string, c *Counts) error {
	columns, err := s.columns(ctx, query)
	if err != nil {
		return err
	}
	if c.Rows < 0 { // a view, or never analysed
		if c.Rows, err = s.estimate(ctx, query); err != nil {
			return err
		}
	}
	if s.left() <= 0 {
		return nil
	}
	c.ByProvider, c.HasExpiry = slices.Contains(columns, "provider"), slices.Contains(columns, "expires_at")
	for i, from := range []string{"(\n" + query + "\n) AS s", fmt.Sprintf("(SELECT * FROM (\n%s\n) AS a LIMIT %d) AS s", query, s.limits.First)} {
		if i > 0 && s.left() <= 0 {
			return nil
		}
		groups, err := s.groups(ctx, columns, from)
		if pgerr.CodeOf(err) == "57014" {
			c.slow = true
			continue // took too long
		}
		if err != nil {
			return err
		}
		c.take(groups)
		if c.Exact = i == 0; c.Exact {
			c.Rows = c.Of
		}
		c.Rows = max(c.Rows, c.Of)
		return nil
	}
	return nil
}

// estimate returns how many rows the planner expects of a query.
func (s *survey) estimate(ctx context.Context, query string) (int64, error) {
	type plan struct{ Plan []byte }
	rows, err := collect[plan](ctx, s.db, "estimate the rows", "EXPLAIN (FORMAT JSON) SELECT 1 FROM (\n"+query+"\n) AS s")
	if err != nil {
		return -1, err
	}
	var plans []struct {
		Plan struct {
			Rows float64 `json:"Plan Rows"`
		}
	}
	if err := json.Unmarshal(rows[0].Plan, &plans); err != nil || len(plans) == 0 {
		return -1, nil
	}
	return int64(plans[0].Plan.Rows), nil
}

// columns returns the names of a query's columns.
func (s *survey) columns(ctx context.Context, query string) ([]string, error) {
	var names []string
	err := s.db.read(ctx, "look at the columns", func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, "SELECT * FROM (\n"+query+"\n) AS s LIMIT 0")
		if err != nil {
			return err
		}
		defer rows.Close()
		for _, f := range rows.FieldDescriptions() {
			names = append(names, f.Name)
		}
		rows.Close()
		return rows.Err()
	})
	return names, err
}

// group are the rows of one provider with one fate.
type group struct {
	Provider, Skip string
	Rows, NoExpiry int64
	Total          int64 // rows of all groups, also of those beyond groupsAtMost
}

// groups counts what from gives.
func (s *survey) groups(ctx context.Context, columns []string, from string) ([]group, error) {
	text := func(column string) string {
		if !slices.Contains(columns, column) {
			return "''"
		}
		return "coalesce(" + column + "::text, '')"
	}
	missing := "false"
	if slices.Contains(columns, "expires_at") {
		missing = "expires_at IS NULL OR expires_at::text IN ('', '0', 'infinity', '-infinity') OR expires_at::text LIKE '1970-01-01%'"
	}
	// One character more than a name has shows that it is none.
	sql := "SELECT left(" + text("provider") + ", " + strconv.Itoa(nameAtMost+1) + "), " + text("skip") + ", count(*), count(*) FILTER (WHERE " + missing +
		"), (sum(count(*)) OVER ())::bigint\nFROM " + from + "\nGROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT " + strconv.Itoa(groupsAtMost)
	var list []group
	err := s.db.read(ctx, "count the rows", func(tx pgx.Tx) error {
		limit := "SET LOCAL statement_timeout = " + strconv.FormatInt(max(1, min(s.limits.Count, s.left()).Milliseconds()), 10)
		if _, err := tx.Exec(ctx, limit, pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, sql)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[group])
		return err
	})
	return list, err
}

// untold reports whether a value of the provider column is no provider's name, and
// may be a secret.
func untold(value string) bool {
	row := source.Row{Key: value}
	return row.KeyLooks() != "" || !utf8.ValidString(value) || utf8.RuneCountInString(value) > nameAtMost
}

// take adds groups up by provider.
func (c *Counts) take(groups []group) {
	names := map[string]bool{}
	for _, g := range groups {
		names[g.Provider], c.Of = true, g.Total
	}
	none := len(names) >= manyProviders && int64(len(names)) > c.Of/2
	byName := map[string]*ProviderCount{}
	rest := &ProviderCount{Untold: true, Skipped: map[source.Reason]int64{}}
	unread := c.Of
	for _, g := range groups {
		p := byName[g.Provider]
		switch {
		case none || untold(g.Provider):
			p = rest
		case p == nil:
			p = &ProviderCount{Provider: g.Provider, Skipped: map[source.Reason]int64{}}
			byName[g.Provider] = p
		}
		p.Rows += g.Rows
		unread -= g.Rows
		if g.Skip != "" {
			p.Skipped[source.Reason(g.Skip)] += g.Rows
			continue
		}
		p.Tokens += g.Rows
		p.NoExpiry += g.NoExpiry
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		c.Providers = append(c.Providers, *byName[name])
	}
	slices.SortStableFunc(c.Providers, func(a, b ProviderCount) int { return int(b.Tokens - a.Tokens) })
	if c.More = len(c.Providers) > providersAtMost; c.More {
		for _, p := range c.Providers[providersAtMost:] {
			rest.Rows, rest.Tokens, rest.NoExpiry = rest.Rows+p.Rows, rest.Tokens+p.Tokens, rest.NoExpiry+p.NoExpiry
			for reason, n := range p.Skipped {
				rest.Skipped[reason] += n
			}
		}
		c.Providers = c.Providers[:providersAtMost]
	}
	// What was not read is taken for tokens, as most rows are.
	rest.Rows, rest.Tokens = rest.Rows+unread, rest.Tokens+unread
	if rest.Rows > 0 {
		c.Providers = append(c.Providers, *rest)
	}
}

// Sample is what the first and last rows, by their keys, tell. It holds numbers
// only.
type Sample struct {
	Rows      int
	Encrypted int             // rows with a value that is encrypted
	Locked    int             // those of Encrypted that do not open without the configuration's keys
	Plain     int             // values in the clear
	Keys      map[string]bool // names of the keys that encrypted rows call for
	// NoExpiry counts valid rows whose expiry is not known, by provider.
	NoExpiry map[string]int
	// Skipped counts rows that the store leaves out.
	Skipped map[source.Reason]int
}

// sample reads rows from both ends: a store that began to encrypt has its plain
// values at one of them.
// Unless both, only the first rows are read.
func (s *survey) sample(ctx context.Context, query string, store *Store, inner source.Opener, both bool, out *Sample) error {
	out.Keys, out.NoExpiry, out.Skipped = map[string]bool{}, map[string]int{}, map[source.Reason]int{}
	seen := map[string]bool{}
	p := &probe{inner: inner, store: store, keys: map[string]bool{}}
	o := source.Options{
		Skips: store.Skips, Routes: source.Routes{Connector: "sample"},
		PageSize: sampleRows, StatementTimeout: max(min(s.limits.Count, s.left()), time.Second),
	}
	if inner != nil {
		o.Open = p
	}
	for _, end := range []string{"", "DESC"} {
		o.Query = query
		if end != "" && !both {
			break
		}
		if end != "" {
			order := "key DESC"
			if columns, err := s.columns(ctx, query); err != nil {
				return err
			} else if slices.Contains(columns, "key_2") {
				order += ", key_2 DESC"
			}
			o.Query = fmt.Sprintf("SELECT * FROM (\n%s\n) AS a ORDER BY %s LIMIT %d", query, order, sampleRows)
		}
		rows, err := s.page(ctx, o)
		if pgerr.CodeOf(err) == "57014" {
			continue // no index on the key: better to know nothing than to sort a large table
		}
		if err != nil {
			return err
		}
		for i := range rows {
			if !seen[rows[i].Key] {
				seen[rows[i].Key] = true
				out.take(&rows[i])
			}
		}
		if len(rows) < sampleRows {
			break // that was all
		}
	}
	out.Keys = p.keys
	return nil
}

func (s *survey) page(ctx context.Context, o source.Options) ([]source.Row, error) {
	s.db.Close() // a pool may have no more than one connection for us
	r, err := source.Open(ctx, s.cfg, o)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.Sample(ctx, o.PageSize)
}

// take counts a row.
func (out *Sample) take(row *source.Row) {
	out.Rows++
	out.Plain += row.Plain
	switch {
	case row.Reason == source.ReasonDecryptFailed && row.Detail == errSealed.Error():
		out.Encrypted++
		out.Locked++
	case row.Decrypted > 0: // with what the database itself holds
		out.Encrypted++
	case row.Reason.Skipped():
		out.Skipped[row.Reason]++
	case row.Reason == source.ReasonMissingExpiry:
		out.NoExpiry[row.Provider]++
	}
}
