package stores

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint/pgerr"
	"tokenmigrate/source"
)

// Time limits of looking at a database.
const (
	connectTimeout   = 9 * time.Second
	statementTimeout = 30 * time.Second
)

// DB is a source database to look at, read-only. It is one connection, good for
// one goroutine at a time, and works through PgBouncer in transaction mode. After
// Close, the next look connects again.
type DB struct {
	cfg  *pgx.ConnConfig
	conn *pgx.Conn // nil: closed
}

// Connect connects with cfg, which it does not change. It tries once, for at
// most 9 s unless cfg says more.
//
// Errors are *pgerr.Error.
func Connect(ctx context.Context, cfg *pgx.ConnConfig) (*DB, error) {
	cfg = cfg.Copy()
	cfg.DefaultQueryExecMode = pgx.QueryExecModeExec // no prepared statements by name
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "tokenmigrate"
	}
	d := &DB{cfg: cfg}
	if err := d.connect(ctx); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *DB) connect(ctx context.Context) error {
	if d.cfg.ConnectTimeout == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, connectTimeout)
		defer cancel()
	}
	conn, err := pgx.ConnectConfig(ctx, d.cfg)
	if err != nil {
		return pgerr.Wrap("connect to the source", err)
	}
	d.conn = conn
	return nil
}

// Close ends the connection, if there is one.
func (d *DB) Close() {
	if d.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	_ = d.conn.Close(ctx)
	d.conn = nil
}

// read runs f in a read-only transaction. Its errors are f's, and *pgerr.Error.
func (d *DB) read(ctx context.Context, op string, f func(pgx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout+5*time.Second)
	defer cancel()
	if d.conn == nil || d.conn.IsClosed() {
		if err := d.connect(ctx); err != nil {
			return err
		}
	}
	// A SQL_ASCII database may hold any bytes, which it cannot convert.
	encoding := "UTF8"
	if d.conn.PgConn().ParameterStatus("server_encoding") == "SQL_ASCII" {
		encoding = "SQL_ASCII"
	}
	tx, err := d.conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadOnly})
	if err != nil {
		return pgerr.Wrap(op, err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if _, err := tx.Exec(ctx, "SET LOCAL statement_timeout = '30s'; SET LOCAL row_security = off; SET LOCAL client_encoding = '"+encoding+"'", pgx.QueryExecModeSimpleProtocol); err != nil {
		return pgerr.Wrap(op, err)
	}
	if err := f(tx); err != nil {
		return pgerr.Wrap(op, err)
	}
	return nil
}

// collect runs a query and returns its rows as structs, field by field. op is
// what is being done, for the error, a *pgerr.Error.
func collect[T any](ctx context.Context, d *DB, op, sql string, args ...any) ([]T, error) {
	var list []T
	err := d.read(ctx, op, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[T])
		return err
	})
	return list, err
}

// collectOf is collect from a table of a store by that SQL name, of which there may
// be none: then there are no rows.
//
// Errors: *source.ConfigError with the GRANT where the role may not read it; else
// *pgerr.Error.
func collectOf[T any](ctx context.Context, d *DB, op, table, sql string) ([]T, error) {
	list, err := collect[T](ctx, d, op, sql)
	switch {
	case missing(err):
		return nil, nil
	case pgerr.CodeOf(err) == "42501":
		schema, name := splitName(table)
		type row struct{ Schema string }
		const where = "SELECT n.nspname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1)"
		if found, err := collect[row](ctx, d, op, where, table); err == nil && len(found) == 1 {
			schema = found[0].Schema
		}
		return nil, &source.ConfigError{Op: op, Problems: []string{d.mayNotRead(ctx, &Table{Schema: schema, Name: name})}}
	}
	return list, err
}

// missing reports that a table or column is not there. One that the role may not
// read is there, and what it holds may be needed.
func missing(err error) bool {
	switch pgerr.CodeOf(err) {
	case "42P01", "42703", "3F000":
		return true
	}
	return errors.Is(err, pgx.ErrNoRows)
}
