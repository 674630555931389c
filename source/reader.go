package source

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tokenmigrate/checkpoint/pgerr"
)

const (
	// tries is how often one read is made before its trouble is the caller's.
	tries = 3
	// backoff is the wait before the second try; it triples for the third.
	backoff = 200 * time.Millisecond
	// connectTimeout bounds the attempt at one host, with or without TLS, unless the
	// configuration does; connectLimit then bounds all of them together.
	connectTimeout = 5 * time.Second
	connectLimit   = 9 * time.Second
	// silence is added to the server's own statement timeout for the client's: a
	// server that does not answer even with a timeout is not there any more.
	silence = 15 * time.Second
)

// Reader reads one query's rows. Make it with Open. It holds at most one
// connection and reconnects by itself. Its methods may be called from several
// goroutines; they take turns. No goroutine of it outlives a call.
type Reader struct {
	config  *pgconn.Config
	patient bool // the configuration sets how long connecting may take
	o       Options
	info    Info
	output  []Column
	columns []column // by field
	formats []int16  // of the columns, and of the folded keys behind them
	keys    []column // one or two
	sql     statements

	// turn is held by the call at work; what follows belongs to it.
	turn   chan struct{}
	conn   *pgconn.PgConn // nil when there is none
	begin  []string       // opens a transaction on conn
	fresh  bool           // conn was made for this very call
	closed bool
	limit  limiter

	sleep func(context.Context, time.Duration) error
}

// Info tells what the reader is connected to.
type Info struct {
	Host          string // as configured, the first one; a folder for a Unix socket
	Port          uint16
	Database      string // as the server calls it
	User          string
	ServerVersion string // "15.8 (Debian 15.8-0+deb12u1)"
	VersionNumber int    // 150008
	InRecovery    bool   // a hot standby
}

// Open connects with cfg, which it does not change, and prepares for reading o:
// it looks at the query's columns, their types, the keys' collations and the
// role's privileges. It reads no row.
//
// Errors: *ConfigError for whatever stays wrong until somebody changes
// something, all problems at once where they can be told at once; else a
// *pgerr.Error, of class Again where the database is away. It tries to connect
// once: each host within cfg.ConnectTimeout or, where that is zero, each within
// 5 s and all within 9 s.
func Open(ctx context.Context, cfg *pgx.ConnConfig, o Options) (*Reader, error) {
	o = o.withDefaults()
	if problems := o.problems(); len(problems) > 0 {
		return nil, &ConfigError{Op: "read the source's configuration", Problems: problems}
	}
	config := cfg.Config.Copy() // its map of startup parameters too
	patient := config.ConnectTimeout != 0
	if !patient {
		config.ConnectTimeout = connectTimeout
	}
	// The one startup parameter: PgBouncer knows it, and refuses most others.
	if config.RuntimeParams == nil {
		config.RuntimeParams = map[string]string{}
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = o.ApplicationName
	}
	r := &Reader{
		config: config, patient: patient, o: o,
		turn:  make(chan struct{}, 1),
		limit: newLimiter(o.PageSize, o.Open != nil),
		sleep: sleep,
	}
	if err := r.connect(ctx); err != nil {
		return nil, r.explain("connect to the source", err)
	}
	if err := r.look(ctx); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Columns returns the query's output columns in their order.
func (r *Reader) Columns() []Column { return slices.Clone(r.output) }

// Info returns what Open found out about the server.
func (r *Reader) Info() Info { return r.info }

// Close closes the connection. It waits for a call at work; calls after it fail.
func (r *Reader) Close() {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	r.closed = true
	r.drop()
}

// connect makes the connection.
func (r *Reader) connect(ctx context.Context) error {
	if !r.patient {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, connectLimit)
		defer cancel()
	}
	conn, err := pgconn.ConnectConfig(ctx, r.config)
	if err != nil {
		return err
	}
	// A SQL_ASCII database may hold any bytes. Asked for UTF-8 it would fail a whole
	// page for one bad value; asked for its bytes it lets us judge each row.
	encoding := "UTF8"
	if conn.ParameterStatus("server_encoding") == "SQL_ASCII" {
		encoding = "SQL_ASCII"
	}
	// Settings that the role or the database may have: an isolation level that a
	// standby refuses, formats that casts in the query depend on. With row_security
	// off, a policy that would hide rows is an error.
	r.begin = []string{
		"BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY",
		"SET LOCAL row_security = off",
		"SET LOCAL statement_timeout = " + strconv.FormatInt(r.o.StatementTimeout.Milliseconds(), 10),
		"SET LOCAL client_encoding = '" + encoding + "'",
		"SET LOCAL DateStyle = 'ISO, MDY'",
		"SET LOCAL TimeZone = 'UTC'",
	}
	r.conn, r.fresh = conn, true
	return nil
}

// drop closes the connection, if any, and waits until it is gone.
func (r *Reader) drop() {
	if r.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	_ = r.conn.Close(ctx)
	// pgconn cleans a broken connection up in the background.
	select {
	case <-r.conn.CleanupDone():
	case <-ctx.Done():
	}
	r.conn = nil
}

// failure is an error of the server with the statement it is about.
type failure struct {
	st  *statement
	err error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// do runs f in a read-only transaction, and again a few times where trying again
// helps. f must be repeatable and wraps errors of its statements in a failure. The
// error that do returns is explained.
func (r *Reader) do(ctx context.Context, op string, f func(context.Context, *pgconn.PgConn) error) error {
	return r.persist(ctx, op, func(ctx context.Context) error {
		if err := r.conn.Exec(ctx, strings.Join(r.begin, "; ")).Close(); err != nil {
			return err
		}
		if err := f(ctx, r.conn); err != nil {
			return err
		}
		// What was read is read, whatever becomes of a COMMIT that changes nothing.
		_ = r.conn.Exec(ctx, "COMMIT").Close()
		return nil
	})
}

// stream runs one statement in a read-only transaction of its own, and gives take each
// row until it fails; the values are good until the next. All goes out at once, since
// a page costs little more than a round trip. Call it in f of persist.
func (r *Reader) stream(ctx context.Context, st *statement, params []param, take func(values [][]byte) error) error {
	var b pgconn.Batch
	begin := r.begin
	if r.info.VersionNumber < 110000 {
		// These time all that goes out at once as one statement, by the timeout from before.
		if err := r.conn.Exec(ctx, strings.Join(begin, "; ")).Close(); err != nil {
			return err
		}
		begin = nil
	}
	for _, text := range begin {
		b.ExecParams(text, nil, nil, nil, nil)
	}
	values, oids := split(params)
	b.ExecParams(st.text, values, oids, nil, r.formats)
	b.ExecParams("COMMIT", nil, nil, nil, nil)
	results := r.conn.ExecBatch(ctx, &b)
	var bad error
	done := 0 // statements
	for ; results.NextResult(); done++ {
		result := results.ResultReader()
		for bad == nil && done == len(begin) && result.NextRow() {
			bad = take(result.Values())
		}
		if _, err := result.Close(); err != nil {
			break
		}
	}
	err := results.Close()
	switch {
	case bad != nil:
		return bad
	case done > len(begin): // what was read is read, whatever becomes of the COMMIT
		return nil
	case err == nil:
		return errors.New("the server did not answer the statement")
	case done == len(begin):
		return &failure{st, err}
	}
	return err
}

// persist runs f on a live connection, and again a few times where trying again helps.
// A transaction that f leaves open is rolled back. The error that persist returns is
// explained.
func (r *Reader) persist(ctx context.Context, op string, f func(context.Context) error) error {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return pgerr.Wrap(op, ctx.Err())
	}
	if r.closed {
		return fmt.Errorf("%s: the reader is closed", op)
	}
	wait := backoff
	for try := 1; ; try++ {
		r.fresh = false
		started := time.Now()
		err := r.attempt(ctx, f)
		if err == nil {
			return nil
		}
		stale := !r.fresh && r.conn == nil
		err = r.explain(op, err)
		if ctx.Err() != nil || pgerr.ClassOf(err) != pgerr.Again {
			return err
		}
		if pgerr.CodeOf(err) == "57014" && time.Since(started) > r.o.StatementTimeout*9/10 {
			// Another try would take as long; the caller's next call reads a smaller page.
			return r.tooSlow(err)
		}
		if try == tries {
			return err
		}
		if stale && try == 1 {
			// An idle connection was closed meanwhile: nothing worth a wait or a word.
			r.o.Log.Debug().Err(err).Msg("the source's connection was closed while idle, reconnecting")
			continue
		}
		r.o.Log.Warn().Err(err).Int("attempt", try).Dur("waiting", wait).Msg("the source did not answer, trying again")
		if err := r.sleep(ctx, wait); err != nil {
			return pgerr.Wrap(op, err)
		}
		wait *= 3
	}
}

// tooSlow adds to a statement timeout what mends most of them.
func (r *Reader) tooSlow(err error) error {
	var e *pgerr.Error
	if !errors.As(err, &e) {
		return err
	}
	told := *e
	told.Text += fmt.Sprintf(" (it took longer than %s; an index on the columns that the query calls key and key_2 makes reading fast)", r.o.StatementTimeout)
	return &told
}

// attempt is one try of persist.
func (r *Reader) attempt(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, r.o.StatementTimeout+silence)
	defer cancel()
	if r.conn == nil {
		if err := r.connect(ctx); err != nil {
			return err
		}
	}
	defer func() {
		if r.conn.IsClosed() || r.conn.TxStatus() != 'I' {
			r.drop()
		}
	}()
	err := f(ctx)
	if err != nil && !r.conn.IsClosed() && r.conn.TxStatus() != 'I' {
		_ = r.conn.Exec(ctx, "ROLLBACK").Close()
	}
	return err
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// explain makes of any error of a read what the caller gets: a *ConfigError as
// it is, a *ConfigError for what the server will refuse again, else a
// *pgerr.Error.
func (r *Reader) explain(op string, err error) error {
	var config *ConfigError
	if errors.As(err, &config) {
		return err
	}
	wrapped := pgerr.Wrap(op, err)
	if pgerr.ClassOf(wrapped) != pgerr.Stop {
		return wrapped
	}
	var pg *pgconn.PgError
	var safe *pgerr.Error
	errors.As(wrapped, &safe)
	if !errors.As(err, &pg) {
		var connecting *pgconn.ConnectError
		if errors.As(err, &connecting) {
			return &ConfigError{Op: op, Problems: []string{safe.Text}}
		}
		return wrapped
	}
	if len(pg.Code) < 2 || pg.Code[:2] == "XX" { // the server's own trouble, nobody's configuration
		return wrapped
	}
	var f *failure
	var st *statement
	if errors.As(err, &f) {
		st = f.st
	}
	return &ConfigError{Op: op, Problems: []string{r.sentence(pg, safe.Text, st)}, Code: pg.Code}
}

// sentence tells what is wrong and what helps. text is what pgerr lets through
// of the server's words.
func (r *Reader) sentence(pg *pgconn.PgError, text string, st *statement) string {
	place, word := "", ""
	if st != nil {
		place, word = st.place(pg.Position), st.word(pg.Position)
	}
	at := func(s string) string {
		if place != "" {
			return s + " (" + place + ")"
		}
		return s
	}
	code := " (SQLSTATE " + pg.Code + ")"
	role := r.config.User
	switch {
	// The routine tells policies from privileges in every language of the server.
	case pg.Code == "42501" && pg.Routine == "check_enable_rls":
		return fmt.Sprintf("row-level security would hide rows from role %s: %s. Read with the table's owner, or with a role that has BYPASSRLS", role, text)
	case pg.Code == "42501":
		return fmt.Sprintf("role %s may not read the source: %s. Grant it what the query reads: USAGE on the schema, SELECT on the tables", role, text)
	case pg.Code == "25006":
		return "the query would write: " + text + ". The source is only read; leave out functions that write"
	case pg.Code == "42601":
		// The server's words may quote a literal of the query.
		problem := "syntax error"
		if word != "" {
			problem += " at " + strconv.Quote(word)
		}
		if first := firstWord(r.o.Query); first != "" && isWord(first[0]) && !queryWords[first] {
			problem, place = "it begins with "+first+", and must be one SELECT", ""
		}
		return at("the query cannot be read: "+problem) + code
	case pg.Code == "0A000":
		return at("the query uses what cannot stand in a subquery, such as WITH that changes data, or FOR UPDATE on a union") + code
	case pg.Code[:2] == "22":
		return at("the query fails on the data: "+text) + code
	case pg.Code[:2] == "39", pg.Code[:2] == "38":
		return "a function that the query calls failed, for pgcrypto: wrong key or corrupt data; its words are withheld, they may quote data" + code
	case pg.Code[:2] == "42":
		return at("the query cannot be read: "+text) + code
	case pg.Code[:2] == "28", pg.Code[:2] == "3D":
		return text + code
	}
	return at("the source refuses: "+text) + code
}

// queryWords may begin what stands in parentheses after FROM.
var queryWords = map[string]bool{"SELECT": true, "WITH": true, "VALUES": true, "TABLE": true}
