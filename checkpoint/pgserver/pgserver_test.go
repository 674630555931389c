package pgserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"tokenmigrate/checkpoint/localpg"
	"tokenmigrate/checkpoint/localpg/bouncer"
	"tokenmigrate/checkpoint/pgerr"
)

func TestMain(m *testing.M) {
	os.Exit(localpg.Main(m.Run, func() error { return goleak.Find() }))
}

func parse(t *testing.T, url string) *pgx.ConnConfig {
	t.Helper()
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// look looks, and must not fail.
func look(t *testing.T, cfg *pgx.ConnConfig) *Server {
	t.Helper()
	s, err := Look(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLook_TellsAPrimary(t *testing.T) {
	cfg := parse(t, localpg.Database(t))
	s := look(t, cfg)
	if s.Database != cfg.Database || s.User != cfg.User || s.Number < 100000 || s.Version == "" || s.Host == "" {
		t.Errorf("got %+v", s)
	}
	if !s.Local || s.TLS != "" || s.Standby || s.ReadOnly || s.Pooler != NoPooler || s.MaxConnections < 10 || s.FreeConnections >= s.MaxConnections {
		t.Errorf("got %+v, want a local primary without pooler", s)
	}
	cfg.RuntimeParams["default_transaction_read_only"] = "on"
	if s := look(t, cfg); !s.ReadOnly {
		t.Errorf("got %+v, want it read-only", s)
	}
}

func TestLook_TellsPoolers(t *testing.T) {
	url := localpg.Database(t)
	for _, c := range []struct {
		mode string
		size int
		want Pooler
	}{{"transaction", 2, Transaction}, {"transaction", 1, Transaction}, {"session", 2, Session}, {"session", 1, Session}} {
		if s := look(t, parse(t, bouncer.Start(t, url, c.mode, c.size))); s.Pooler != c.want {
			t.Errorf("%s mode, %d connections: got %q, want %q", c.mode, c.size, s.Pooler, c.want)
		}
	}
	if _, err := Look(t.Context(), parse(t, bouncer.Start(t, url, "statement", 2))); !errors.Is(err, ErrStatementMode) {
		t.Errorf("statement mode: got %v, want ErrStatementMode", err)
	}
	cfg := parse(t, bouncer.Start(t, url, "transaction", 1))
	cfg.RuntimeParams["statement_timeout"] = "1000"
	if _, err := Look(t.Context(), cfg); !errors.Is(err, ErrStartupParameter) {
		t.Errorf("a startup parameter: got %v, want ErrStartupParameter", err)
	}
}

func TestLook_TellsTLSAndStandbys(t *testing.T) {
	server, err := localpg.Start(t.Context(), localpg.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	cfg := parse(t, server.URL("postgres"))
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%.40s: %v", sql, err)
		}
	}
	var folder string
	if err := conn.QueryRow(t.Context(), "SHOW data_directory").Scan(&folder); err != nil {
		t.Fatal(err)
	}
	var library string
	if err := conn.QueryRow(t.Context(), "SHOW ssl_library").Scan(&library); err != nil || library == "" {
		t.Skip("this Postgres was built without TLS")
	}
	certificate, key := selfSigned(t)
	for name, text := range map[string]string{"server.crt": certificate, "server.key": key} {
		giveTo(t, folder, filepath.Join(folder, name), text)
	}
	exec("ALTER SYSTEM SET ssl = on")
	exec("SELECT pg_reload_conf()")
	root := filepath.Join(t.TempDir(), "root.crt")
	if err := os.WriteFile(root, []byte(certificate), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, verified := range map[string]bool{"require": false, "verify-ca&sslrootcert=" + root: true, "verify-full&sslrootcert=" + root: true} {
		s, err := Look(t.Context(), parse(t, server.URL("postgres")+"&sslmode="+mode))
		for try := 0; err != nil && try < 500; try++ { // the server takes its new settings up when it gets to it
			<-time.After(10 * time.Millisecond)
			s, err = Look(t.Context(), parse(t, server.URL("postgres")+"&sslmode="+mode))
		}
		if err != nil {
			t.Fatal(err)
		}
		if s.TLS != "TLS 1.3" || s.Verified != verified {
			t.Errorf("sslmode=%s: got %q, verified %t, want TLS 1.3, verified %t", mode, s.TLS, s.Verified, verified)
		}
	}

	if err := server.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := Look(t.Context(), cfg); pgerr.ClassOf(err) != pgerr.Again {
		t.Errorf("with the server gone: got %v, want class Again", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "standby.signal"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := server.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := look(t, cfg); !s.Standby || !s.ReadOnly {
		t.Errorf("got %+v, want a standby", s)
	}
}

// giveTo writes a file that belongs to whom the folder belongs to.
func giveTo(t *testing.T, folder, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(folder)
	if err != nil {
		t.Fatal(err)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		if err := os.Chown(path, int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
}

// selfSigned returns a certificate for 127.0.0.1 and its key, as PEM.
func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}
