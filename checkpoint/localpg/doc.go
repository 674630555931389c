// Package localpg runs a throwaway Postgres, for the demo and for tests that
// want the real thing.
//
// Start finds the binaries of an installed Postgres (or downloads some), makes
// a fresh data directory in a temporary folder and serves it on a free port of
// 127.0.0.1. Stop takes everything down again. Tests call Database instead: it
// hands out empty databases of one server that the whole test process shares,
// and Main, called from TestMain, stops that server.
//
// # Where Postgres comes from
//
// The first of these that holds a working initdb and postgres: Options.Bin,
// $POSTGRES_BIN (either, when set, is the only place looked at), the PATH,
// `pg_config --bindir`, and the places where Debian, Red Hat, SUSE, Homebrew,
// MacPorts, Postgres.app and EnterpriseDB put it, newest version first. Where
// there is none, the embedded-postgres binaries are downloaded once into the
// user's cache folder. Where that cannot be, the error says what to install.
//
// Postgres refuses to run as root. A process of root runs it as the user
// postgres, or else nobody; binaries and temporary folder must then be open to
// that user, and Start chooses the folder so.
//
// # Nothing stays behind
//
// A server never outlives the process that started it, also when that process
// is killed with SIGKILL: a watchdog (a shell that does nothing but read a pipe
// whose other end only this process holds) sees the pipe close, kills Postgres
// and removes the folder. It sits in a session of its own, so that neither
// Ctrl-C nor a kill of the process group reaches it. Where the watchdog is
// killed too, the next Start of anybody who may does its work: every folder
// carries a lock file, held by its owner and its watchdog, and a folder whose
// lock is free has no owner any more. Folders in use are never touched.
//
// A throwaway server does not sync its files to disk: it survives the kill of
// its processes (Kill and Resume rely on that), not of the machine.
//
// It works on Linux, macOS and other Unix systems. Elsewhere Start returns an
// error, and tests need TOKENMIGRATE_TEST_DATABASE_URL.
package localpg
