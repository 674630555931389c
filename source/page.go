package source

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"tokenmigrate/checkpoint/pgerr"
	"tokenmigrate/migrate/connect"
)

// keysAtOnce bounds the keys of one statement of Rows.
const keysAtOnce = 500

// Page is a part of a walk.
type Page struct {
	Rows   []Row     // in ascending order of the keys, by the database's own order
	Next   Cursor    // where the next page begins
	End    bool      // no row followed when this page was read
	ReadAt time.Time // just before the rows were read; all rows are at least as new
}

// statements are a reader's, built once.
type statements struct {
	firstPage statement   // $1: limit
	lastPage  statement   // $1: limit; from the end on
	nextPage  statement   // $1 (, $2): key behind which to begin; last: limit
	rows      statement   // $1 (, $2): arrays of key parts; of all shards
	whole     statement   // all rows, no columns
	nulls     []statement // one per key column: how many are NULL, and an example
}

// buildStatements writes the SQL. Conditions compare the key columns as they
// are, without a cast, so that their own index serves.
func buildStatements(text *sqlText, columns, keys []column) statements {
	var list, order, folded []string
	for _, c := range columns {
		list = append(list, quoted(c))
	}
	for _, c := range keys {
		order = append(order, quoted(c))
		if c.folded {
			folded = append(folded, `lower(`+quoted(c)+`::text COLLATE "default")`)
		}
	}
	head := "SELECT " + strings.Join(append(list, folded...), ", ")
	all := text.shardConditions()
	composite := len(keys) == 2

	var s statements
	by := " ORDER BY " + strings.Join(order, ", ") + " LIMIT $"
	s.firstPage = text.build(head, all, by+"1")
	s.lastPage = text.build(head, all, " ORDER BY "+strings.Join(order, " DESC, ")+" DESC LIMIT $1")
	after := order[0] + " >= $1"
	those := order[0] + " = ANY($1)"
	if composite {
		// The first column's own condition lets an index on it alone serve, or one
		// where key_2 is an expression.
		after += " AND (" + strings.Join(order, ", ") + ") >= ($1, $2)"
		// The pairs decide; each column's own condition lets an index serve also where
		// the planner cannot turn the pairs into a lookup.
		those += " AND " + order[1] + " = ANY($2) AND (" + strings.Join(order, ", ") + ") IN (SELECT * FROM unnest($1, $2))"
	}
	s.nextPage = text.build(head, append(slices.Clone(all), after), by+strconv.Itoa(len(keys)+1))
	s.rows = text.build(head, []string{those}, "")
	s.whole = text.build("SELECT 1", nil, "")
	for i, key := range order {
		example := "NULL"
		if composite {
			example = "min(" + order[1-i] + "::text)"
		}
		s.nulls = append(s.nulls, text.build("SELECT count(*), "+example, []string{key + " IS NULL"}, ""))
	}
	return s
}

func quoted(c column) string { return `q."` + c.name + `"` }

func (t *sqlText) shardConditions() []string {
	if t.shard == "" {
		return nil
	}
	return []string{t.shard}
}

// Check looks for rows that no walk would meet: those with a NULL key. Run it at
// the start of each walk. It looks at all shards' rows.
//
// Errors: a *ConfigError that names the column, the number of rows and, of a
// composite key, the least other part; else as of Page.
func (r *Reader) Check(ctx context.Context) error {
	const op = "check the source's keys"
	return r.do(ctx, op, func(ctx context.Context, conn *pgconn.PgConn) error {
		var problems []string
		for i := range r.sql.nulls {
			rows, err := query(ctx, conn, r.sql.nulls[i])
			if err != nil {
				return err
			}
			if count := string(rows[0][0]); count != "0" {
				example := ""
				if other := rows[0][1]; other != nil {
					example = fmt.Sprintf(" (for example with %s %s)", r.keys[1-i].field, showKey(string(other)))
				}
				problems = append(problems, nullKey(r.keys[i].field, count+" rows"+example))
			}
		}
		if len(problems) > 0 {
			return &ConfigError{Op: op, Problems: problems}
		}
		return nil
	})
}

func nullKey(f field, where string) string {
	return fmt.Sprintf("column %s is NULL in %s; a row without key cannot be found again. Choose a column that is never NULL, or leave these rows out with where: %s IS NOT NULL", f, where, f)
}

// Page reads the rows behind after: at most Options.PageSize rows, and at most
// PageBytes of row data, but at least one row unless there is none. A page may be
// empty without being the End.
//
// Errors: *ConfigError for keys that are NULL, repeated, not valid text or
// credentials, for hidden rows and for whatever the server will refuse again; else a *pgerr.Error,
// of class Again after a few tries where the same call may succeed later.
func (r *Reader) Page(ctx context.Context, after Cursor) (Page, error) {
	page, err := r.page(ctx, "read a page of the source", after, 0)
	if err == nil {
		r.o.Log.Debug().Int("rows", len(page.Rows)).Bool("end", page.End).Msg("page read")
	}
	return page, err
}

// page reads as many rows as the limiter says or, unless it is 0, as many as sample
// says and the server is quick enough for.
func (r *Reader) page(ctx context.Context, op string, after Cursor, sample int) (Page, error) {
	var page Page
	err := r.persist(ctx, op, func(ctx context.Context) error {
		page = Page{Next: after, ReadAt: r.o.Now()}
		// The row at the cursor is read once more, so that a second one like it is
		// seen, also across the page's edge.
		limit := r.limit.rows()
		if sample > 0 {
			limit = min(sample, r.limit.ceiling)
		}
		st, params := &r.sql.firstPage, []param(nil)
		if after.set {
			st = &r.sql.nextPage
			for i, key := range r.keys {
				params = append(params, param{key.oid, []byte(after.key[i])})
			}
		}
		params = append(params, param{pgtype.Int8OID, []byte(strconv.Itoa(limit + 1))})
		walk := walk{r: r, op: op, after: after, limit: limit, rows: r.newSink(page.ReadAt, limit)}
		err := r.stream(ctx, st, params, walk.take)
		opening := time.Now()
		page.Rows = walk.rows.finish()
		took := time.Since(opening)
		if err != nil {
			if pgerr.CodeOf(pgerr.Wrap(op, err)) == "57014" {
				r.limit.slow()
			}
			return err
		}
		if r.anyKeyIsCredential(page.Rows) {
			return &ConfigError{Op: op, Problems: []string{credentialKey}}
		}
		page.End = walk.seen <= limit && !walk.full
		if len(page.Rows) > 0 {
			page.Next = walk.last
		}
		r.limit.observe(len(page.Rows), walk.bytes, walk.full, took)
		return nil
	})
	if err != nil {
		return Page{Next: after}, err
	}
	return page, nil
}

// credentialKey is told of keys that are credentials: keys are stored and printed.
const credentialKey = "the column that the query calls key holds the rows' tokens themselves, and keys are kept in the checkpoint, logs and reports. Choose another column that is unique, such as the table's own id"

// shortestCredential keeps a token as short as a number from being found in its key.
const shortestCredential = 8

// anyKeyIsCredential reports whether some row's key holds its own access or refresh
// token.
func (r *Reader) anyKeyIsCredential(rows []Row) bool {
	holds := func(part string, token connect.Secret) bool {
		text := token.Reveal()
		return len(text) >= shortestCredential && strings.Contains(part, text)
	}
	for i := range rows {
		t := &rows[i].Token
		first, second, _ := splitKey(rows[i].Key, len(r.keys) == 2)
		if holds(first, t.AccessToken) || holds(first, t.RefreshToken) || holds(second, t.AccessToken) || holds(second, t.RefreshToken) {
			return true
		}
	}
	return false
}

// walk takes the rows of one page in.
type walk struct {
	r     *Reader
	op    string
	after Cursor
	limit int // rows to keep

	rows  *sink
	last  Cursor // of the rows taken
	seen  int    // rows that the server gave
	bytes int    // of rows
	full  bool   // PageBytes ended the page
	same  [2][]byte
}

// take judges one row of the result. Rows beyond the page's bounds are let go, their
// keys still compared.
func (w *walk) take(values [][]byte) error {
	key, same, err := w.r.keyOf(values)
	if err != nil {
		return &ConfigError{Op: w.op, Problems: []string{err.Error() + w.behind()}}
	}
	w.seen++
	repeated, atCursor := false, false
	if w.seen > 1 {
		repeated = bytes.Equal(same[0], w.same[0]) && bytes.Equal(same[1], w.same[1])
	} else if w.after.set {
		atCursor = string(same[0]) == w.after.same[0] && string(same[1]) == w.after.same[1]
	}
	if repeated {
		text := joinKey(string(key[0]), string(key[1]), len(w.r.keys) == 2)
		return &ConfigError{Op: w.op, Problems: []string{repeatedKey(text)}}
	}
	w.same[0], w.same[1] = append(w.same[0][:0], same[0]...), append(w.same[1][:0], same[1]...)
	if atCursor || w.full || w.rows.len() == w.limit {
		return nil
	}
	size := 0
	for _, v := range values {
		size += len(v)
	}
	if w.bytes+size > PageBytes && w.rows.len() > 0 {
		w.full = true
		return nil
	}
	w.bytes += size
	w.last = Cursor{set: true, key: [2]string{string(key[0]), string(key[1])}}
	w.last.same = w.last.key
	for i := range w.r.keys {
		if w.r.keys[i].folded {
			w.last.same[i] = string(same[i])
		}
	}
	w.rows.add(joinKey(w.last.key[0], w.last.key[1], len(w.r.keys) == 2), values)
	return nil
}

// behind tells where a row without a usable key stands.
func (w *walk) behind() string {
	last := w.last
	if !last.set {
		last = w.after
	}
	if !last.set {
		return ", before the first good key"
	}
	return ", behind key " + showKey(joinKey(last.key[0], last.key[1], len(w.r.keys) == 2))
}

func repeatedKey(key string) string {
	return fmt.Sprintf("key %s stands for more than one row; keys must be unique, or rows would be passed over. Add a key_2 that tells them apart, or make the query return one row a key", showKey(key))
}

// keyOf returns the key's parts in a result row, and what decides their
// equality; both are valid until the next row.
func (r *Reader) keyOf(values [][]byte) (key, same [2][]byte, err error) {
	folded := len(r.columns)
	for i, c := range r.keys {
		part := values[i] // key and key_2 are the first fields
		if part == nil {
			return key, same, fmt.Errorf("column %s is NULL in a row", c.field)
		}
		if c.kind == kindPadded {
			part = bytes.TrimRight(part, " ")
		}
		if !utf8.Valid(part) {
			return key, same, fmt.Errorf("column %s is not valid UTF-8 in a row", c.field)
		}
		key[i], same[i] = part, part
		if c.folded {
			same[i] = values[folded]
			folded++
		}
	}
	return key, same, nil
}

// Rows reads the rows of these keys (as in Row.Key) as they are now, in any
// order, also those of other shards. Keys without a row, or outside where, are simply
// missing; a key asked for twice comes once. All rows are held in memory. Errors as of
// Page.
func (r *Reader) Rows(ctx context.Context, keys []string) ([]Row, error) {
	var rows []Row
	for some := range slices.Chunk(keys, keysAtOnce) {
		more, err := r.someRows(ctx, some)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

func (r *Reader) someRows(ctx context.Context, keys []string) ([]Row, error) {
	const op = "read rows of the source again"
	composite := len(r.keys) == 2
	asked := make(map[string]bool, len(keys)) // and whether it came
	var parts [2][]string
	for _, key := range keys {
		first, second, ok := splitKey(key, composite)
		if _, twice := asked[key]; twice || !ok || !r.keys[0].possible(first) || composite && !r.keys[1].possible(second) {
			continue
		}
		asked[key] = false
		parts[0], parts[1] = append(parts[0], first), append(parts[1], second)
	}
	if len(asked) == 0 {
		return nil, nil
	}
	var params []param
	for i, key := range r.keys {
		params = append(params, param{key.arrayOID, arrayLiteral(parts[i])})
	}
	var rows []Row
	err := r.persist(ctx, op, func(ctx context.Context) error {
		for key := range asked {
			asked[key] = false
		}
		sink := r.newSink(r.o.Now(), len(asked))
		err := r.stream(ctx, &r.sql.rows, params, func(values [][]byte) error {
			key, _, err := r.keyOf(values)
			if err != nil {
				return &ConfigError{Op: op, Problems: []string{err.Error()}}
			}
			text := joinKey(string(key[0]), string(key[1]), composite)
			came, ok := asked[text]
			switch {
			case !ok: // equal to one that was asked for, but not it (citext)
			case came:
				return &ConfigError{Op: op, Problems: []string{repeatedKey(text)}}
			default:
				asked[text] = true
				sink.add(text, values)
			}
			return nil
		})
		rows = sink.finish()
		return err
	})
	return rows, err
}

// limiter chooses how many rows a page asks for, so that it rarely asks for more
// than PageBytes, all of which would cross the network for nothing, nor for more
// than can be opened in openAtMost.
type limiter struct {
	max     int // the page size
	ceiling int // max, or less where the server was too slow for more
	next    int
}

// openAtMost is how long opening a page's rows should take, where a cipher derives a
// key for each value: whoever asks for a page waits for it, also to stop. openFirst
// is how many rows show how long that is.
const (
	openAtMost = 10 * time.Second
	openFirst  = 100
)

func newLimiter(pageSize int, opens bool) limiter {
	l := limiter{max: pageSize, ceiling: pageSize, next: pageSize}
	if opens {
		l.next = min(openFirst, pageSize)
	}
	return l
}

func (l *limiter) rows() int { return min(l.next, l.ceiling) }

// observe learns the size of a page's rows, and how long opening them took. Growing
// back is slow, since large rows tend to stand together.
func (l *limiter) observe(rows, size int, full bool, took time.Duration) {
	if rows == 0 {
		return
	}
	fit := PageBytes * 9 / 10 / max(size/rows, 1)
	if !full {
		fit = min(fit, 2*l.next)
	}
	if took > 0 {
		fit = min(fit, int(time.Duration(rows)*openAtMost/took))
	}
	l.next = min(max(fit, 1), l.max)
}

// slow halves the pages after one ran into the statement timeout.
func (l *limiter) slow() { l.ceiling = max(l.rows()/2, 1) }

// shorten quotes text for a message, cut to some 60 characters.
func shorten(text string) string {
	const most = 60
	if utf8.RuneCountInString(text) > most {
		text = string([]rune(text)[:most]) + "..."
	}
	return strconv.Quote(text)
}
