// Package pgserver looks at a Postgres server as a client meets it: what answers,
// whether the connection is encrypted, whether it can be written to, and what
// stands in between. It serves the source and the checkpoint alike.
package pgserver

import (
	"context"
	"crypto/tls"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tokenmigrate/checkpoint/pgerr"
)

const (
	connectLimit = 9 * time.Second  // of connecting, unless the configuration says more
	queryLimit   = 15 * time.Second // of everything after that
	poolerLimit  = 2 * time.Second  // of one connection that only asks about the pooler
)

// Server is what Look found.
type Server struct {
	Host     string // "db.example:5432" as configured, or the address that answered where there are several
	Local    bool   // reached over loopback or a Unix socket
	Database string // as the server calls it
	User     string
	Version  string // "15.8 (Debian 15.8-0+deb12u1)"
	Number   int    // 150008

	TLS      string // "TLS 1.3"; "" where the connection is not encrypted
	Verified bool   // the server's certificate was verified

	Standby  bool          // it is in recovery: a hot standby
	ReadOnly bool          // transactions are read-only unless they ask for more; a standby's always are
	Lag      time.Duration // how far a standby is behind; negative: it does not tell

	Pooler Pooler
	// MaxConnections is the server's own limit, FreeConnections what is left of it
	// to an ordinary role.
	MaxConnections, FreeConnections int
}

// Pooler says what stands between client and server.
type Pooler string

// The poolers that Look tells apart.
const (
	NoPooler    Pooler = ""
	Transaction Pooler = "transaction" // a server connection is the client's for one transaction
	// Session: a server connection is the client's until it leaves, as far as can be
	// seen: a busy pooler in transaction mode may look the same.
	Session Pooler = "session"
)

// Look connects with cfg, which it does not change, asks, and leaves. It tries
// once, connects for at most 9 s unless cfg says more, and writes nothing.
//
// Errors: a *pgerr.Error, of class Again where nothing answers.
func Look(ctx context.Context, cfg *pgx.ConnConfig) (*Server, error) {
	conn, err := connect(ctx, cfg)
	if err != nil {
		return nil, pgerr.Wrap("connect", err)
	}
	defer closeConn(conn)
	ctx, cancel := context.WithTimeout(ctx, queryLimit)
	defer cancel()
	s := &Server{}
	s.lookAtConnection(cfg, conn.PgConn())
	pid, err := s.ask(ctx, conn)
	if err != nil {
		return nil, pgerr.Wrap("look at the server", err)
	}
	if s.Standby {
		s.Lag = lag(ctx, conn)
	}
	// A pooler makes up the number by which a client may cancel.
	if pid != conn.PgConn().PID() {
		s.Pooler = mode(ctx, cfg, conn)
	}
	return s, nil
}

func connect(ctx context.Context, cfg *pgx.ConnConfig) (*pgx.Conn, error) {
	cfg = cfg.Copy()
	cfg.DefaultQueryExecMode = pgx.QueryExecModeExec // no prepared statements by name
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "tokenmigrate"
	}
	if cfg.ConnectTimeout == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, connectLimit)
		defer cancel()
	}
	return pgx.ConnectConfig(ctx, cfg)
}

func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	_ = conn.Close(ctx)
	// pgconn cleans a broken connection up in the background.
	select {
	case <-conn.PgConn().CleanupDone():
	case <-ctx.Done():
	}
}

// lookAtConnection fills in what the connection itself tells.
func (s *Server) lookAtConnection(cfg *pgx.ConnConfig, conn *pgconn.PgConn) {
	s.Host = cfg.Host
	if !strings.HasPrefix(cfg.Host, "/") {
		s.Host = net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))
	}
	remote := conn.Conn().RemoteAddr()
	for _, f := range cfg.Fallbacks {
		if f.Host != cfg.Host || f.Port != cfg.Port {
			s.Host = remote.String()
		}
	}
	address, tcp := remote.(*net.TCPAddr)
	s.Local = !tcp || address.IP.IsLoopback()
	if encrypted, ok := conn.Conn().(*tls.Conn); ok {
		state := encrypted.ConnectionState()
		s.TLS = tls.VersionName(state.Version)
		s.Verified = len(state.VerifiedChains) > 0 || cfg.TLSConfig != nil && cfg.TLSConfig.VerifyPeerCertificate != nil
	}
}

// ask fills in what the server says, and returns the number of its process.
func (s *Server) ask(ctx context.Context, conn *pgx.Conn) (pid uint32, err error) {
	// An explicit transaction, as the program's own are.
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var taken int
		err := tx.QueryRow(ctx, `
SELECT pg_backend_pid(), current_database()::text, current_user::text, current_setting('server_version'), current_setting('server_version_num')::int,
  pg_is_in_recovery(), current_setting('transaction_read_only')::bool, current_setting('max_connections')::int,
  current_setting('superuser_reserved_connections')::int + coalesce(current_setting('reserved_connections', true)::int, 0)
    + coalesce((SELECT sum(numbackends)::int FROM pg_catalog.pg_stat_database), 0)`).
			Scan(&pid, &s.Database, &s.User, &s.Version, &s.Number, &s.Standby, &s.ReadOnly, &s.MaxConnections, &taken)
		s.FreeConnections = max(s.MaxConnections-taken, 0)
		return err
	})
	return pid, err
}

// lag asks how far a standby is behind. One that has replayed all it received is
// not, whenever the last change was.
func lag(ctx context.Context, conn *pgx.Conn) time.Duration {
	var seconds *float64
	err := conn.QueryRow(ctx, `
SELECT CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
  ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8 END`).Scan(&seconds)
	if err != nil || seconds == nil {
		return -1
	}
	return max(time.Duration(*seconds*float64(time.Second)), 0)
}

// mode tells the modes of a pooler apart: only in transaction mode can a client's
// server connection change, or be another client's while the first is still
// there. Free connections are handed out last in, first out, so that this shows
// at once unless many others are at work.
func mode(ctx context.Context, cfg *pgx.ConnConfig, conn *pgx.Conn) Pooler {
	const pid = "SELECT pg_backend_pid()"
	ctx, cancel := context.WithTimeout(ctx, poolerLimit)
	defer cancel()
	other, err := connect(ctx, cfg)
	if err != nil {
		return Session
	}
	defer closeConn(other)
	var first uint32
	for range 5 {
		var a, b uint32
		if conn.QueryRow(ctx, pid).Scan(&a) != nil || other.QueryRow(ctx, pid).Scan(&b) != nil {
			return Session // each connection keeps its server's, and there is none left
		}
		if first == 0 {
			first = a
		}
		if a != first || a == b {
			return Transaction
		}
	}
	return Session
}
