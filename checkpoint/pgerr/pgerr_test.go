package pgerr_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tokenmigrate/checkpoint/pgerr"
)

// secret stands for a credential that an error may carry.
const secret = "xoxb-5ecret-canary"

var className = map[pgerr.Class]string{pgerr.Stop: "stop", pgerr.Again: "again", pgerr.Ended: "ended"}

func TestWrap_ClassOfSQLSTATE(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code, what string
		want       pgerr.Class
	}{
		{"08000", "connection exception", pgerr.Again},
		{"08006", "connection failure", pgerr.Again},
		{"08P01", "protocol violation, PgBouncer's word for its server being away", pgerr.Again},
		{"25P03", "idle in transaction for too long", pgerr.Again},
		{"25P04", "in a transaction for too long", pgerr.Again},
		{"40001", "serialization, conflict with recovery", pgerr.Again},
		{"40P01", "deadlock", pgerr.Again},
		{"53100", "disk full", pgerr.Again},
		{"53200", "out of memory", pgerr.Again},
		{"53300", "too many connections", pgerr.Again},
		{"55006", "object in use", pgerr.Again},
		{"55P03", "lock not available", pgerr.Again},
		{"57014", "query cancelled", pgerr.Again},
		{"57P01", "admin shutdown", pgerr.Again},
		{"57P02", "crash shutdown", pgerr.Again},
		{"57P03", "cannot connect now", pgerr.Again},
		{"58030", "I/O error", pgerr.Again},
		{"57P04", "database dropped", pgerr.Stop},
		{"22P02", "invalid text", pgerr.Stop},
		{"23505", "unique violation", pgerr.Stop},
		{"25006", "read-only transaction", pgerr.Stop},
		{"28000", "no such role", pgerr.Stop},
		{"28P01", "wrong password", pgerr.Stop},
		{"3D000", "no such database", pgerr.Stop},
		{"3F000", "no such schema", pgerr.Stop},
		{"42501", "privilege", pgerr.Stop},
		{"42601", "syntax", pgerr.Stop},
		{"42P01", "no such table", pgerr.Stop},
		{"55000", "object not in prerequisite state", pgerr.Stop},
		{"P0001", "raised", pgerr.Stop},
		{"XX000", "internal", pgerr.Stop},
		{"4", "cut short by a proxy", pgerr.Stop},
		{"", "left out by a proxy", pgerr.Stop},
	} {
		err := pgerr.Wrap("do", fmt.Errorf("deep: %w", &pgconn.PgError{Code: c.code, Message: "m"}))
		if got := pgerr.ClassOf(err); got != c.want {
			t.Errorf("%s (%s): got %s, want %s", c.code, c.what, className[got], className[c.want])
		}
		if got := pgerr.CodeOf(err); got != c.code {
			t.Errorf("%s (%s): got code %q", c.code, c.what, got)
		}
	}
}

// Of what a pooler refuses, waiting mends nothing.
func TestWrap_TellsPoolersRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		message string
		class   pgerr.Class
		is      error
		text    string
	}{
		{"transaction blocks not allowed in statement pooling mode", pgerr.Stop, pgerr.ErrStatementMode, "use its transaction mode (SQLSTATE 08P01)"},
		{"unsupported startup parameter: statement_timeout", pgerr.Stop, pgerr.ErrStartupParameter, "ignore_startup_parameters (SQLSTATE 08P01)"},
		{"server conn crashed?", pgerr.Again, nil, "do: server conn crashed? (SQLSTATE 08P01)"},
	} {
		err := pgerr.Wrap("again", pgerr.Wrap("do", &pgconn.PgError{Code: "08P01", Message: c.message}))
		if got := pgerr.ClassOf(err); got != c.class {
			t.Errorf("%s: got class %s, want %s", c.message, className[got], className[c.class])
		}
		if c.is != nil && !errors.Is(err, c.is) || !strings.HasSuffix(err.Error(), c.text) {
			t.Errorf("%s: got %v, want %v and %q", c.message, err, c.is, c.text)
		}
	}
}

func TestWrap_GoErrors(t *testing.T) {
	t.Parallel()
	_, parse := pgx.ParseConfig("postgres://u:" + secret + "@h:notaport/d")
	if parse == nil {
		t.Fatal("the connection string was parsed")
	}
	for _, c := range []struct {
		name string
		err  error
		want pgerr.Class
		text string
	}{
		{"cancelled", fmt.Errorf("x: %w", context.Canceled), pgerr.Ended, "do: x: context canceled"},
		{"deadline", context.DeadlineExceeded, pgerr.Again, "do: context deadline exceeded"},
		{"EOF", io.EOF, pgerr.Again, "do: EOF"},
		{"cut", fmt.Errorf("read: %w", io.ErrUnexpectedEOF), pgerr.Again, "do: read: unexpected EOF"},
		{"closed socket", net.ErrClosed, pgerr.Again, "do: use of closed network connection"},
		{"network", &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("refused")}, pgerr.Again, "do: dial tcp: refused"},
		{"no host", &net.DNSError{Err: "no such host", Name: "db.invalid", IsNotFound: true}, pgerr.Again, "do: lookup db.invalid: no such host"},
		{"driver's connection gone", errors.New("conn closed"), pgerr.Again, "do: conn closed"},
		{"pool gone", errors.New("closed pool"), pgerr.Again, "do: closed pool"},
		{"each try alike", errors.New("failed to connect to `user=a`:\n\tone:5432: refused\n\tone:5432: refused"), pgerr.Stop, "do: failed to connect to `user=a`: one:5432: refused"},
		{"tries of several hosts", errors.New("failed to connect to `user=a`:\n\tone:5432: refused\n\ttwo:5432: refused"), pgerr.Stop, "do: failed to connect to `user=a`: one:5432: refused; two:5432: refused"},
		{"certificate", &net.OpError{Op: "dial", Err: errors.New("tls: failed to verify certificate: x509")}, pgerr.Stop, "do: dial: tls: failed to verify certificate: x509"},
		{"TLS unknown to the server", &net.OpError{Op: "dial", Err: errors.New("server refused TLS connection")}, pgerr.Stop, "do: dial: server refused TLS connection"},
		{"no rows", pgx.ErrNoRows, pgerr.Stop, "do: no rows in result set"},
		{"several lines", errors.New("one\n\ttwo"), pgerr.Stop, "do: one two"},
		{"connection string", parse, pgerr.Stop, "do: the connection string cannot be parsed"},
		{"scan", pgx.ScanArgError{FieldName: "access_token", Err: errors.New(secret)}, pgerr.Stop,
			`do: a value of column "access_token" cannot be read as the type that is expected (the driver's words are withheld, they may quote it)`},
		{"encode", fmt.Errorf("failed to encode args[0]: unable to encode %q into text", secret), pgerr.Stop,
			"do: a value cannot be sent as the type that the statement expects (the driver's words are withheld, they quote it)"},
	} {
		err := pgerr.Wrap("do", c.err)
		if got := pgerr.ClassOf(err); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, className[got], className[c.want])
		}
		if err.Error() != c.text || pgerr.CodeOf(err) != "" {
			t.Errorf("%s: got %q with code %q, want %q without", c.name, err, pgerr.CodeOf(err), c.text)
		}
		for _, end := range []error{context.Canceled, context.DeadlineExceeded} {
			if got, want := errors.Is(err, end), errors.Is(c.err, end); got != want {
				t.Errorf("%s: errors.Is(%v): got %t, want %t", c.name, end, got, want)
			}
		}
		silent(t, c.name, err)
	}
	if err := pgerr.Wrap("do", nil); err != nil {
		t.Errorf("nil: got %v", err)
	}
	plain := errors.New("plain")
	if pgerr.ClassOf(plain) != pgerr.Stop || pgerr.CodeOf(plain) != "" {
		t.Errorf("an error that did not come through Wrap: got %v %q", pgerr.ClassOf(plain), pgerr.CodeOf(plain))
	}
}

func TestWrap_WithholdsValues(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"22P02", "22001", "22023", "23505", "23514", "P0001", "XX000", "39000", "21000", "54000", "0A000", "", "42501", "57014"} {
		pg := &pgconn.PgError{
			Severity: "ERROR", Code: code, Message: "said " + secret, Detail: secret, Hint: secret, Where: secret, InternalQuery: secret,
			SchemaName: "s", TableName: "accounts", ColumnName: "refresh_token", ConstraintName: "one", DataTypeName: "text",
		}
		safeMessage := code == "42501" || code == "57014"
		if safeMessage {
			pg.Message = "plain words"
		}
		err := pgerr.Wrap("read a page", fmt.Errorf("query: %w", pg))
		silent(t, code, err)
		wants := []string{"read a page: ", "[table accounts, column refresh_token, constraint one]"}
		if safeMessage {
			wants = append(wants, "plain words")
		}
		if code != "" {
			wants = append(wants, "(SQLSTATE "+code+")")
		}
		for _, w := range wants {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: got %q, want it to say %q", code, err, w)
			}
		}
	}
}

func TestWrap_TwiceKeepsWhatIsKnown(t *testing.T) {
	t.Parallel()
	inner := pgerr.Wrap("read", fmt.Errorf("%s: %w", secret, &pgconn.PgError{Code: "57P01", Message: "terminating"}))
	outer := pgerr.Wrap("walk", fmt.Errorf("page 7: %w", inner))
	if pgerr.ClassOf(outer) != pgerr.Again || pgerr.CodeOf(outer) != "57P01" {
		t.Errorf("got %s %q, want again 57P01", className[pgerr.ClassOf(outer)], pgerr.CodeOf(outer))
	}
	if got, want := outer.Error(), "walk: read: terminating (SQLSTATE 57P01)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := inner.Error(), "read: terminating (SQLSTATE 57P01)"; got != want {
		t.Errorf("the inner one has become %q, want %q", got, want)
	}
	if ended := pgerr.Wrap("a", pgerr.Wrap("b", context.Canceled)); !errors.Is(ended, context.Canceled) || pgerr.ClassOf(ended) != pgerr.Ended {
		t.Errorf("got %v, want class Ended and context.Canceled", ended)
	}
	silent(t, "twice", outer)
}

// silent reports where an error, or anything that can be got out of it, tells
// the secret.
func silent(t *testing.T, name string, err error) {
	t.Helper()
	var known *pgerr.Error
	if !errors.As(err, &known) {
		t.Fatalf("%s: got %T, want a *pgerr.Error", name, err)
	}
	// The value, not the pointer, so that fmt walks the fields.
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for _, v := range []any{err, *known, struct{ hidden error }{err}} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, secret) {
				t.Errorf("%s: %s of %T tells the secret: %s", name, verb, v, text)
			}
		}
	}
	var pg *pgconn.PgError
	var parse *pgconn.ParseConfigError
	if errors.As(err, &pg) || errors.As(err, &parse) || errors.Unwrap(err) != nil {
		t.Errorf("%s: the driver's error can be got out of %v", name, err)
	}
}
