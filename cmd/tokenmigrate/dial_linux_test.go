package main

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Connections to databases notice within half a minute that nobody is there any
// more, both while they wait and while they send.
func TestDatabase_NoticesAPeerThatVanished(t *testing.T) {
	withoutPG(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg, problems := loadText(t, `
migration: acme
source:
  url: postgres://u@`+l.Addr().String()+`/db
  query: SELECT 1
destination:
  token: ${T}
  connector: scl_1
checkpoint:
  url: host=127.0.0.1 user=u
`, needAll, map[string]string{"T": "credential"})
	if problems != "" {
		t.Fatal(problems)
	}
	app := &app{getenv: func(name string) (string, bool) {
		return "postgres://u@" + l.Addr().String() + "/db", name == sourceVariable
	}}
	looked, err := app.sourceDatabase(app.initCommand(), "")
	if err != nil {
		t.Fatal(err)
	}
	for name, dial := range map[string]func() (net.Conn, error){
		"init":       func() (net.Conn, error) { return looked.DialFunc(t.Context(), "tcp", l.Addr().String()) },
		"source":     func() (net.Conn, error) { return cfg.Source.DB.DialFunc(t.Context(), "tcp", l.Addr().String()) },
		"checkpoint": func() (net.Conn, error) { return cfg.Checkpoint.DB.DialFunc(t.Context(), "tcp", l.Addr().String()) },
	} {
		conn, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		raw, err := conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		option := func(level, which int) (n int) {
			t.Helper()
			var oerr error
			if err := raw.Control(func(fd uintptr) { n, oerr = unix.GetsockoptInt(int(fd), level, which) }); err != nil || oerr != nil {
				t.Fatalf("%s: %v, %v", name, err, oerr)
			}
			return n
		}
		if on := option(unix.SOL_SOCKET, unix.SO_KEEPALIVE); on == 0 {
			t.Errorf("%s: keepalive is off", name)
		}
		waits := option(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE) + option(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL)*option(unix.IPPROTO_TCP, unix.TCP_KEEPCNT)
		sends := time.Duration(option(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)) * time.Millisecond
		if waits > 30 || sends <= 0 || sends > 30*time.Second {
			t.Errorf("%s: a peer that vanished is noticed after %d s while waiting and %v while sending, want at most 30 s", name, waits, sends)
		}
	}
}
