//go:build unix

package localpg

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv(childEnv); mode != "" {
		child(mode)
	}
	os.Exit(Main(m.Run, func() error { return goleak.Find() }))
}

// start starts a server that the test stops, or that goes when the test ends.
func start(t *testing.T, opts Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// connect opens a connection that is closed when the test ends.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// show returns the one text that a query gives.
func show(t *testing.T, conn *pgx.Conn, query string) string {
	t.Helper()
	var text string
	if err := conn.QueryRow(t.Context(), query).Scan(&text); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return text
}

// eventually waits for a condition on which nothing can be waited otherwise:
// what other processes do.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !holds() {
		if !pause(ctx, 10*time.Millisecond) {
			t.Fatalf("still not so after 20 s: %s", what)
		}
	}
}

// gone fails the test if anything is left of a server.
func gone(t *testing.T, path string, shmID int) {
	t.Helper()
	if left := processesOf(filepath.Join(path, "data")); len(left) > 0 {
		t.Errorf("processes left: got %v, want none", left)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: got %v, want it not to exist", path, err)
	}
	if segmentExists(shmID) {
		t.Errorf("shared memory segment %d is left", shmID)
	}
}

func TestStart_LeavesNothingBehind(t *testing.T) {
	var log bytes.Buffer
	s := start(t, Options{Log: &log})
	path, master := s.folder.path, readPostmaster(s.folder.data())
	if pid := s.process.pid(); master.pid != pid {
		t.Errorf("postmaster.pid: got process %d, want %d", master.pid, pid)
	}
	if got := len(processesOf(s.folder.data())); got < 3 {
		t.Errorf("processes while running: got %d, want the postmaster and several children", got)
	}
	if !segmentExists(master.shmID) {
		t.Errorf("segment %d does not exist while running: the check below proves nothing", master.shmID)
	}
	watchdog := s.watchdog.cmd
	for range 2 {
		if err := s.Stop(); err != nil {
			t.Errorf("Stop: got %v, want nil", err)
		}
	}
	gone(t, path, master.shmID)
	if watchdog.ProcessState == nil {
		t.Error("the watchdog was not waited for")
	}
	for _, want := range []string{"found postgres (PostgreSQL)", "making a data directory in " + path, "runs on 127.0.0.1:", "is stopped"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log: got %q, want %q in it", log.String(), want)
		}
	}
	if strings.Contains(log.String(), password(t, s)) {
		t.Errorf("the log tells the password: %s", log.String())
	}
}

// password returns the superuser's, from the URL.
func password(t *testing.T, s *Server) string {
	t.Helper()
	config, err := pgconn.ParseConfig(s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	return config.Password
}

func TestStart_ServesWhatWasAskedFor(t *testing.T) {
	odd := `it's a "back\slash"` + "\n100%"
	s := start(t, Options{Settings: map[string]string{"max_connections": "17", "localpg.odd": odd}})
	name := `we"ird /?&%20 näme`
	if err := s.CreateDatabase(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, s.URL(name))
	for query, want := range map[string]string{
		"select current_database()": name,
		"select current_user":       "postgres",
		"show max_connections":      "17",
		"show localpg.odd":          odd,
		"show listen_addresses":     "127.0.0.1",
		"show fsync":                "off",
		"show synchronous_commit":   "on",
		"show server_encoding":      "UTF8",
		"show TimeZone":             "UTC",
		"select count(*)::text from pg_class where relnamespace = 'public'::regnamespace": "0",
	} {
		if got := show(t, conn, query); got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
	if err := s.CreateDatabase(t.Context(), name); err == nil || !strings.Contains(err.Error(), "create database we") {
		t.Errorf("creating it again: got %v, want an error that names it", err)
	}
	wrong := strings.Replace(s.URL("postgres"), password(t, s), "guessed", 1)
	if _, err := pgx.Connect(t.Context(), wrong); err == nil {
		t.Error("a wrong password opens the server")
	}
}

func TestStart_TellsWhatPostgresSaid(t *testing.T) {
	dir := ownTemp(t)
	_, err := Start(t.Context(), Options{Settings: map[string]string{"shared_buffers": "plenty"}})
	if err == nil || !strings.Contains(err.Error(), "start a throwaway postgres: ") || !strings.Contains(err.Error(), `"shared_buffers"`) {
		t.Errorf("got %v, want an error that names the operation and shared_buffers", err)
	}
	empty(t, dir)
}

func TestStart_EndsWithItsContext(t *testing.T) {
	dir := ownTemp(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	began, shmID := make(chan string, 1), make(chan int, 1)
	go func() {
		// In the middle of initdb, while one of its postgres has shared memory.
		defer cancel()
		var master postmaster
		for data := <-began; master.shmID == 0 && pause(t.Context(), time.Millisecond); {
			master = readPostmaster(data)
		}
		shmID <- master.shmID
	}()
	_, err := Start(ctx, Options{Log: writerFunc(func(line string) {
		if _, rest, ok := strings.Cut(line, "making a data directory in "); ok {
			began <- filepath.Join(strings.Fields(rest)[0], "data")
		}
	})})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	empty(t, dir)
	if id := <-shmID; segmentExists(id) {
		t.Errorf("shared memory segment %d is left", id)
	}
}

// writerFunc is a Writer made of a function.
type writerFunc func(line string)

func (f writerFunc) Write(p []byte) (int, error) {
	f(string(p))
	return len(p), nil
}

// empty fails the test unless a folder is.
func empty(t *testing.T, dir string) {
	t.Helper()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%s: got %v, %v; want it empty", dir, entries, err)
	}
}

func TestServer_KillAndResumeKeepTheData(t *testing.T) {
	s := start(t, Options{})
	url, path, first := s.URL("postgres"), s.folder.path, readPostmaster(s.folder.data())
	conn := connect(t, url)
	if _, err := conn.Exec(t.Context(), "create table kept as select 42 as n"); err != nil {
		t.Fatal(err)
	}
	if err := s.Resume(t.Context()); err == nil {
		t.Error("Resume of a running server: got nil, want an error")
	}
	if err := s.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := processesOf(s.folder.data()); len(left) > 0 {
		t.Errorf("after Kill: processes %v are left", left)
	}
	var told *pgconn.PgError
	if _, err := conn.Exec(t.Context(), "select 1"); err == nil || errors.As(err, &told) {
		t.Errorf("query on the killed server's connection: got %v, want a connection cut without a word", err)
	}
	if err := s.Kill(t.Context()); err == nil {
		t.Error("second Kill: got nil, want an error")
	}
	if err := s.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.URL("postgres"); got != url {
		t.Errorf("URL after Resume: got %s, want %s", got, url)
	}
	if got := show(t, connect(t, url), "select n::text from kept"); got != "42" {
		t.Errorf("data after Resume: got %s, want 42", got)
	}
	second := readPostmaster(s.folder.data())
	if err := s.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Errorf("Stop of a killed server: %v", err)
	}
	gone(t, path, first.shmID)
	gone(t, path, second.shmID)
	if err := s.Resume(t.Context()); err == nil {
		t.Error("Resume of a stopped server: got nil, want an error")
	}
}

func TestServer_StopEndsWhatWasHaltedOrLeftOver(t *testing.T) {
	for name, harm := range map[string]func(*Server){
		"halted":            func(s *Server) { s.process.signal(halt) },
		"postmaster killed": func(s *Server) { s.process.signal(killHard); <-s.process.done },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, Options{})
			path, master := s.folder.path, readPostmaster(s.folder.data())
			harm(s)
			began := time.Now()
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took >= stopLimit {
				t.Errorf("Stop took %s, want less than the %s after which it loses patience", took, stopLimit)
			}
			gone(t, path, master.shmID)
		})
	}
}

func TestServer_RestartTellsItsClients(t *testing.T) {
	s := start(t, Options{})
	conn := connect(t, s.URL("postgres"))
	pid := s.process.pid()
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	var told *pgconn.PgError
	if _, err := conn.Exec(t.Context(), "select 1"); !errors.As(err, &told) || told.Code != "57P01" {
		t.Errorf("query on the connection of before: got %v, want SQLSTATE 57P01", err)
	}
	if got := s.process.pid(); got == pid {
		t.Errorf("process after Restart: got %d again, want another", got)
	}
	connect(t, s.URL("postgres"))
}

func TestServer_WantsItsPortBack(t *testing.T) {
	s := start(t, Options{})
	if err := s.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	thief, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: s.port})
	if err != nil {
		t.Fatal(err)
	}
	defer thief.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := s.Resume(ctx); err == nil || !strings.Contains(err.Error(), "resume postgres on port ") {
		t.Errorf("Resume while the port is taken: got %v, want an error that names it", err)
	}
	thief.Close()
	if err := s.Resume(t.Context()); err != nil {
		t.Errorf("Resume when the port is free again: %v", err)
	}
}

func TestServer_TriesPortsUntilOneIsFree(t *testing.T) {
	s := start(t, Options{})
	taken, password := s.port, password(t, s)
	if err := s.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	thief, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: taken})
	if err != nil {
		t.Fatal(err)
	}
	defer thief.Close()
	calls := 0
	choose := func() (int, error) {
		if calls++; calls < 3 {
			return taken, nil
		}
		return freePort()
	}
	if err := s.launchOnFreePort(t.Context(), password, choose); err != nil {
		t.Fatal(err)
	}
	if calls != 3 || s.port == taken {
		t.Errorf("got %d choices and port %d, want 3 and another than %d", calls, s.port, taken)
	}
	connect(t, s.URL("postgres"))
}
