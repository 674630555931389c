// Package pgerr says what a Postgres error means for a run, and what of it may
// be told. It is the one place that reads SQLSTATEs, for the source and for the
// checkpoint alike.
//
// The text of a server's error may quote row values (invalid input syntax for
// type json: "..."), its detail nearly always does, and a connection string
// that cannot be parsed may hold a password. Wrap therefore keeps of an error
// only what is safe: code, condition, the names of schema objects, and the
// message where its class never quotes data.
package pgerr

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// What poolers say under a code that otherwise means that a server is away: each
// is of class Stop, and tells its remedy.
var (
	// ErrStatementMode: a pooler that takes no transactions.
	ErrStatementMode = errors.New("a pooler in statement mode stands in between, which takes no transactions; use its transaction mode")
	// ErrStartupParameter: a pooler that refuses a parameter of the connection string.
	ErrStartupParameter = errors.New("a pooler stands in between that refuses a parameter of the connection string; remove it there, or add it to the pooler's ignore_startup_parameters")
)

// pooler returns what a pooler refuses, or nil.
func pooler(pg *pgconn.PgError) error {
	switch {
	case group(pg) != "08":
		return nil
	case strings.Contains(pg.Message, "statement pooling"):
		return ErrStatementMode
	case strings.Contains(pg.Message, "unsupported startup parameter"):
		return ErrStartupParameter
	}
	return nil
}

// Class is what to do about an error.
type Class int

const (
	// Stop: the same statement will fail again until somebody changes something
	// (privileges, a missing table, a wrong password, bad SQL, bad data).
	Stop Class = iota
	// Again: the database is away, busy or has cancelled the statement; the same
	// statement may succeed later. Whether a COMMIT took effect is not known.
	Again
	// Ended: the caller's own context ended; not the database's doing.
	Ended
)

// Error is a Postgres or connection error that is safe to print.
type Error struct {
	Op    string // what was being done: "read a page"
	Code  string // SQLSTATE, or "" where the server did not answer
	Text  string // safe words
	Class Class
	cause error // context.Canceled, context.DeadlineExceeded, what a pooler refuses, or nil
}

// Error returns operation, words and SQLSTATE in one line.
func (e *Error) Error() string {
	if e.Code == "" {
		return e.Op + ": " + e.Text
	}
	return fmt.Sprintf("%s: %s (SQLSTATE %s)", e.Op, e.Text, e.Code)
}

// Is makes errors.Is(err, context.Canceled), DeadlineExceeded, ErrStatementMode and
// ErrStartupParameter work without keeping the wrapped error, which may carry
// secrets.
func (e *Error) Is(target error) bool {
	return e.cause != nil && target == e.cause
}

// Wrap returns err as an *Error that names the operation, or nil for nil. An
// *Error inside err is returned with the operation put before its own.
func Wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	var done *Error
	if errors.As(err, &done) {
		again := *done
		again.Op = op + ": " + done.Op
		return &again
	}
	e := &Error{Op: op, Class: classify(err)}
	for _, ended := range []error{context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, ended) {
			e.cause = ended
		}
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		e.Code = pg.Code
		e.Text = words(pg)
		if refused := pooler(pg); refused != nil {
			e.cause, e.Text = refused, refused.Error()
		}
	} else {
		e.Text = network(err)
	}
	return e
}

// ClassOf returns the class of an error that came through Wrap; any other
// error is Stop.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return Stop
}

// CodeOf returns the SQLSTATE of an error that came through Wrap, or "".
func CodeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// classify is the table from SQL error to class.
func classify(err error) Class {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "25006": // read-only transaction: a standby, or a primary that was just demoted
			return Stop
		case "57014": // cancelled: statement_timeout, or somebody's pg_cancel_backend
			return Again
		case "25P03", "25P04", // idle in transaction, or in one for too long: a worker that was frozen
			"55P03", // lock not available
			"55006": // object in use
			return Again
		case "57P04": // database dropped
			return Stop
		}
		if pooler(pg) != nil {
			return Stop
		}
		switch group(pg) {
		case "08", // connection exception (also what PgBouncer says when its server is away)
			"40", // rolled back: serialization, deadlock, conflict with recovery
			"53", // out of disk, memory or connections
			"57", // shut down, crashed, starting up
			"58": // the server's own I/O trouble
			return Again
		}
		return Stop
	}
	var parse *pgconn.ParseConfigError
	switch {
	case errors.As(err, &parse):
		return Stop
	case errors.Is(err, context.Canceled):
		return Ended
	case errors.Is(err, pgx.ErrNoRows), errors.Is(err, pgx.ErrTooManyRows):
		return Stop
	}
	// What is left never reached a server, or lost it: dial, DNS, TLS, reset,
	// unexpected EOF, a deadline of our own, a connection closed under us.
	for _, misconfigured := range []string{"tls: failed to verify certificate", "server refused TLS connection"} {
		if strings.Contains(err.Error(), misconfigured) {
			return Stop
		}
	}
	var connect *pgconn.ConnectError
	var netErr net.Error
	switch {
	case errors.As(err, &connect), errors.As(err, &netErr),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, context.DeadlineExceeded), pgconn.SafeToRetry(err),
		strings.Contains(err.Error(), "conn closed"), strings.Contains(err.Error(), "closed pool"):
		return Again
	}
	return Stop
}

// group returns the first two characters of the SQLSTATE, which tell its class.
// Something between us and the server may leave the code out.
func group(pg *pgconn.PgError) string { return pg.Code[:min(2, len(pg.Code))] }

// words returns what of a server's error may be printed. Class 22 (data) and
// 23 (constraints) quote values, as do messages raised by functions (P0001,
// XX000); of them only the condition and the names are told.
func words(pg *pgconn.PgError) string {
	var names []string
	add := func(what, name string) {
		if name != "" {
			names = append(names, what+" "+name)
		}
	}
	add("table", pg.TableName)
	add("column", pg.ColumnName)
	add("constraint", pg.ConstraintName)
	var text string
	switch group(pg) {
	case "08", "25", "28", "3D", "3F", "40", "42", "53", "55", "57", "58":
		text = pg.Message
	case "22":
		text = "a value in the data does not fit the expression that the query applies to it (the server's words are withheld, they quote the value)"
	case "23":
		text = "a constraint is violated"
	default:
		text = "the server refused (its words are withheld, they may quote data)"
	}
	if len(names) > 0 && !strings.Contains(text, "\"") {
		text += " [" + strings.Join(names, ", ") + "]"
	}
	return text
}

// network returns safe words for an error that is not the server's. pgconn's
// ConnectError names host, user and database, never the password. The driver's
// errors about single values quote these.
func network(err error) string {
	var parse *pgconn.ParseConfigError
	if errors.As(err, &parse) {
		return "the connection string cannot be parsed"
	}
	var scan pgx.ScanArgError
	if errors.As(err, &scan) {
		return fmt.Sprintf("a value of column %q cannot be read as the type that is expected (the driver's words are withheld, they may quote it)", scan.FieldName)
	}
	if strings.Contains(err.Error(), "failed to encode args[") {
		return "a value cannot be sent as the type that the statement expects (the driver's words are withheld, they quote it)"
	}
	return oneSentence(err.Error())
}

// oneSentence makes one line of a driver's lines. It says once what pgconn says
// of each of its tries, which come in pairs where TLS is preferred.
func oneSentence(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.Join(strings.Fields(line), " ")
		if line != "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return strings.TrimSpace(lines[0] + " " + strings.Join(lines[1:], "; "))
}
