package localpg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint/pgerr"
)

// ErrForeign is returned by Kill, Resume and Restart of a Server that stands
// for the one of TOKENMIGRATE_TEST_DATABASE_URL, which is not ours to kill.
var ErrForeign = errors.New("the server of " + overrideEnv + " is not ours to stop: unset the variable to run on a throwaway one")

// Options are the choices of Start. The zero value is fine.
type Options struct {
	// Bin is the folder that holds initdb and postgres, or the folder above
	// it. Empty means: search, see the package comment.
	Bin string
	// Settings are further lines of postgresql.conf, by name; values are
	// quoted as needed. They win over the package's own (fsync=off,
	// shared_buffers=64MB, max_connections=100, TimeZone=UTC and the like),
	// save for the port and the data directory.
	Settings map[string]string
	// Log receives one line for each thing done. Nil is silent.
	Log io.Writer
}

// Server is a running Postgres, made by Start. Its methods may be called from
// several goroutines; Kill, Resume, Restart and Stop wait for each other.
type Server struct {
	opts    Options
	base    string // URL, or for a foreign server perhaps a keyword string, of a database that is always there
	foreign bool   // not started by us, see Shared
	local          // folder and processes
}

// URL returns the connection URL of a database, as the superuser "postgres"
// with its password in it; it is the same before and after Kill and Resume.
// The database need not exist.
func (s *Server) URL(database string) string { return withDatabase(s.base, database) }

// CreateDatabase creates an empty database, a copy of template0. The name may
// be any; it is quoted.
func (s *Server) CreateDatabase(ctx context.Context, name string) error {
	err := s.exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()+" TEMPLATE template0")
	return pgerr.Wrap("create database "+name, err)
}

// DropDatabase drops a database and ends the sessions that use it. One that
// does not exist is no error.
func (s *Server) DropDatabase(ctx context.Context, name string) error {
	err := s.exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
	return pgerr.Wrap("drop database "+name, err)
}

// exec runs one statement on a connection of its own, to the database that the
// server always has.
func (s *Server) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, s.base)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, sql)
	return err
}

// logf writes one line to Options.Log.
func (s *Server) logf(format string, args ...any) {
	if s.opts.Log != nil {
		fmt.Fprintf(s.opts.Log, format+"\n", args...)
	}
}

// withDatabase returns a connection URL or keyword string with another database
// in it.
func withDatabase(base, database string) string {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		// Of a keyword that is given twice, the last one counts.
		quoted := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(database)
		return base + " dbname='" + quoted + "'"
	}
	u.Path, u.RawPath = "/"+database, ""
	if query := u.Query(); query.Has("dbname") || query.Has("database") {
		query.Del("dbname")
		query.Del("database")
		// Postgres' own library does not read a plus as a space.
		u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20")
	}
	return u.String()
}
