package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tokenmigrate/checkpoint/localpg"
	"tokenmigrate/migrate/connect/sandbox"
)

// Names by which a container knows the servers, from its /etc/hosts.
const (
	endpointName = "connect.test"
	databaseName = "postgres.test"
	otherName    = "elsewhere.test" // the endpoint too, by a name that its certificate has not
)

// Paths in a container, as below: without the slash at their beginning.
const (
	databaseFile = "run/secrets/database" // the URL of both databases
	configFile   = "etc/tokenmigrate/config.yaml"
)

// bundlePath is where the image keeps its certificate authorities.
const bundlePath = "etc/ssl/certs/ca-certificates.crt"

// container runs the image's program as a kubelet would, in namespaces and a root
// of its own, against a Postgres and an endpoint that speak TLS. What a kubelet
// mounts is mounted: /etc/hosts, the configuration, secrets, and the file for the
// last words.
type container struct {
	rig       *rig
	img       *image
	authority *authority
	root      string            // its root file system, a copy of the image's
	mounts    map[string]string // path in the root: file outside
	words     string            // path in the root of the last words, the one mount that is not read-only
	mode      string            // of the root: ro or rw
	env       map[string]string
	before    map[string]entry // the files of root, before the newest start
	rootCert  string           // sslrootcert of the database, "": the system's authorities
}

// newContainer returns a container on an empty database.
func newContainer(t *testing.T, img *image, o sandbox.Options) *container {
	t.Helper()
	ca := newAuthority(t)
	server := ca.postgres(t)
	if err := server.CreateDatabase(t.Context(), "accounts"); err != nil {
		t.Fatal(err)
	}
	c := &container{rig: newRigOn(t, o, server.URL("accounts"), ""), img: img, authority: ca, root: filepath.Join(t.TempDir(), "root"),
		mounts: map[string]string{}, words: "dev/termination-log", mode: "ro", env: map[string]string{}}
	if err := os.CopyFS(c.root, os.DirFS(img.rootfs())); err != nil {
		t.Fatal(err)
	}
	modes := listing(t, img.rootfs()) // which the copy has as the umask allows
	modes["."] = entry{mode: 0o755}
	for path, e := range modes {
		if err := os.Chmod(filepath.Join(c.root, path), e.mode.Perm()); err != nil {
			t.Fatal(err)
		}
	}
	c.rig.with("destination.url", "https://"+endpointName+":"+ca.serve(t, c.rig.endpoint),
		"source.url", "${file:/"+databaseFile+"}", "checkpoint.url", "${file:/"+databaseFile+"}", "destination.token", "${file:/run/secrets/token}")
	hosts := "127.0.0.1 localhost"
	for _, name := range []string{endpointName, databaseName, otherName} {
		hosts += "\n127.0.0.1 " + name
	}
	c.mount("etc/hosts", hosts+"\n", 0o644)
	c.mount("run/secrets/token", credential, 0o440)
	c.mount(databaseFile, "", 0o440) // start fills these in
	c.mount(configFile, "", 0o440)
	return c
}

// fill is the rig's.
func (c *container) fill(rows int) *container {
	c.rig.Helper()
	c.rig.fill(rows)
	return c
}

// mount has a file in the container, at a path in its root; before it starts.
func (c *container) mount(path, content string, mode fs.FileMode) string {
	c.rig.Helper()
	outside := filepath.Join(c.rig.folder, strings.ReplaceAll(path, "/", "-"))
	must := func(err error) {
		c.rig.Helper()
		if err != nil {
			c.rig.Fatal(err)
		}
	}
	must(os.WriteFile(outside, []byte(content), 0o644))
	must(os.Chmod(outside, mode))
	must(os.Chown(outside, 0, 65532)) // as fsGroup does
	if inside := filepath.Join(c.root, path); c.mounts[path] == "" {
		folder := c.root
		for _, name := range strings.Split(filepath.Dir(path), "/") {
			if folder = filepath.Join(folder, name); os.Mkdir(folder, 0o755) == nil {
				must(os.Chmod(folder, 0o755)) // whatever the umask is
			}
		}
		f, err := os.OpenFile(inside, os.O_CREATE, 0o644)
		must(err)
		must(f.Close())
	}
	c.mounts[path] = outside
	return outside
}

// trust mounts the test's authority at a path, alone or behind the image's own.
func (c *container) trust(path string, also bool) {
	c.rig.Helper()
	var text []byte
	if also {
		var err error
		if text, err = os.ReadFile(filepath.Join(c.img.rootfs(), path)); err != nil {
			c.rig.Fatal(err)
		}
	}
	c.mount(path, string(text)+string(c.authority.pem()), 0o644)
}

// writable lets the program write wherever it wants.
func (c *container) writable(t *testing.T) {
	t.Helper()
	c.mode = "rw"
	c.mount(c.words, "", 0o666)
	err := filepath.WalkDir(c.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type().IsRegular() {
			return err
		}
		return os.Chmod(path, 0o777)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// inNamespaces makes mounts and becomes the program: $1 is the root, $2 whether it
// is read-only, $3 the user, then pairs of paths in it and files outside, --, and
// the command. The last pair stays writable.
const inNamespaces = `set -e
root=$1 mode=$2 user=$3; shift 3
mount --bind "$root" "$root"
while [ "$1" != -- ]; do
	mount --bind "$2" "$root/$1"
	[ "$3" = -- ] || mount -o remount,bind,ro "$root/$1"
	shift 2
done; shift
mount -o "remount,bind,nosuid,nodev,$mode" "$root"
exec setpriv --no-new-privs --clear-groups chroot --userspec="$user" --groups= "$root" "$@"`

// start starts the image's program with these arguments and -c.
func (c *container) start(args ...string) *process {
	r := c.rig
	r.Helper()
	u, err := url.Parse(r.env["SOURCE_DATABASE_URL"])
	if err != nil {
		r.Fatal(err)
	}
	u.Host, u.RawQuery = databaseName+":"+u.Port(), "sslmode=verify-full"
	if c.rootCert != "" {
		u.RawQuery += "&sslrootcert=" + c.rootCert
	}
	c.mount(databaseFile, u.String(), 0o440)
	config, err := os.ReadFile(r.file())
	if err != nil {
		r.Fatal(err)
	}
	c.mount(configFile, string(config), 0o440)
	c.mount(c.words, "", 0o666)

	c.before = listing(r.T, c.root)
	line := []string{"--mount", "--pid", "--ipc", "--uts", "--fork", "--propagation", "private", "sh", "-c", inNamespaces, "container", c.root, c.mode, c.img.Config.User}
	for path, outside := range c.mounts {
		if path != c.words {
			line = append(line, path, outside)
		}
	}
	line = append(line, c.words, c.mounts[c.words], "--")
	line = append(append(line, c.img.Config.Entrypoint...), args...)
	if args[0] != "version" {
		line = append(line, "-c", "/"+configFile)
	}
	p := &process{rig: r, name: "the image's " + strings.Join(args, " "), ended: make(chan struct{})}
	p.cmd = exec.CommandContext(r.Context(), "unshare", line...)
	p.cmd.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, c.img.Config.Env...)
	for name, value := range c.env {
		p.cmd.Env = append(p.cmd.Env, name+"="+value)
	}
	p.begin()
	r.Cleanup(func() { // of a test that gave up on it; what unshare started outlives it
		if pid := firstChild(p.cmd.Process.Pid); pid > 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	return p
}

// pid returns the program's process, as seen from outside.
func (c *container) pid(p *process) int {
	c.rig.Helper()
	pid := 0
	c.rig.until("the program runs", func() bool {
		pid = firstChild(p.cmd.Process.Pid)
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		return err == nil && strings.HasSuffix(exe, "/tokenmigrate")
	})
	return pid
}

// firstChild returns a child of a process, 0 if it has none.
func firstChild(pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), " ")
	child, _ := strconv.Atoi(first)
	return child
}

// confined looks at the running program from outside: who it is, and that of all
// that it sees it can write its last words only.
func (c *container) confined(p *process) {
	c.rig.Helper()
	pid := c.pid(p)
	status := c.proc(pid, "status")
	for _, want := range []string{"Uid:\t65532\t65532\t65532\t65532\n", "Gid:\t65532\t65532\t65532\t65532\n", "Groups:\t \n",
		"CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n", "CapAmb:\t0000000000000000\n", "NoNewPrivs:\t1\n", "NSpid:\t" + strconv.Itoa(pid) + "\t1\n"} {
		if !strings.Contains(status, want) {
			c.rig.Errorf("the program's status lacks %q:\n%s", want, status)
		}
	}
	var got []string
	for line := range strings.Lines(c.proc(pid, "mountinfo")) {
		fields := strings.Fields(line) // ID parent device source target options
		how, _, _ := strings.Cut(fields[5], ",")
		got = append(got, how+" "+fields[4])
	}
	want := []string{"ro /"}
	for path := range c.mounts {
		how := "ro"
		if path == c.words {
			how = "rw"
		}
		want = append(want, how+" /"+path)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		c.rig.Errorf("what the program sees: got %q, want %q", got, want)
	}
}

func (c *container) proc(pid int, name string) string {
	c.rig.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
	if err != nil {
		c.rig.Fatal(err)
	}
	return string(text)
}

// unchanged checks that the newest container changed no file of its root, and
// added and removed none. What is mounted does not count.
func (c *container) unchanged() {
	c.rig.Helper()
	after := listing(c.rig.T, c.root)
	for name := range c.before {
		if after[name] != c.before[name] {
			c.rig.Errorf("%s was changed or removed", name)
		}
	}
	for name := range after {
		if _, ok := c.before[name]; !ok {
			c.rig.Errorf("%s was made", name)
		}
	}
}

// entry is one file as it stands.
type entry struct {
	mode    fs.FileMode
	content [sha256.Size]byte
	changed time.Time
}

// listing returns everything below a folder.
func listing(t *testing.T, folder string) map[string]entry {
	t.Helper()
	all := map[string]entry{}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == folder {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		e := entry{mode: info.Mode(), changed: info.ModTime()}
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			e.content = sha256.Sum256(text)
		}
		name, err := filepath.Rel(folder, path)
		all[name] = e
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// lastWords reads what the newest container left.
func (c *container) lastWords() ending {
	c.rig.Helper()
	return c.rig.readEnding(c.mounts[c.words])
}

// migrated checks that the endpoint has every row, once, and that the last words
// say so.
func (c *container) migrated(rows int, outcome string) {
	c.rig.Helper()
	imported := c.rig.endpoint.Imported()
	if len(imported) != rows {
		c.rig.Errorf("the endpoint has %d tokens, want %d", len(imported), rows)
	}
	for who, im := range imported {
		if im.Times != 1 {
			c.rig.Errorf("%v was imported %d times, want once", who, im.Times)
		}
	}
	if last := c.lastWords(); last.ExitCode != 0 || last.Counts == nil || last.Counts.Read != int64(rows) || !strings.Contains(strings.ToLower(last.Outcome), strings.ToLower(outcome)) {
		c.rig.Errorf("last words: got %+v, want exit code 0, %d rows and %q", last, rows, outcome)
	}
}

// authority is a certificate authority that nobody knows.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	a.cert = a.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "authority of a test"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil)
	return a
}

// sign makes a certificate for a key, by its own where it is the authority's.
func (a *authority) sign(t *testing.T, template *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	var err error
	parent := a.cert
	if a.cert == nil {
		if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
		parent, key = template, a.key
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// certificate returns a server's certificate and key as PEM.
func (a *authority) certificate(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signed := a.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, private)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed.Raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// serve serves the endpoint over TLS as endpointName and returns the port.
func (a *authority) serve(t *testing.T, h http.Handler) string {
	t.Helper()
	cert, key := a.certificate(t, endpointName)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: log.New(io.Discard, "", 0)} // it tells of handshakes that fail on purpose
	over := make(chan struct{})
	go func() { defer close(over); _ = s.ServeTLS(l, "", "") }()
	t.Cleanup(func() { _ = s.Close(); <-over })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// postgres starts a Postgres that speaks TLS as databaseName.
func (a *authority) postgres(t *testing.T) *localpg.Server {
	t.Helper()
	server, err := localpg.Start(t.Context(), localpg.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	r := &rig{T: t}
	conn := r.dial(server.URL("postgres"))
	defer conn.Close(context.WithoutCancel(t.Context()))
	var data string
	if err := conn.QueryRow(t.Context(), `SHOW data_directory`).Scan(&data); err != nil {
		t.Fatal(err)
	}
	owner, err := os.Stat(data)
	if err != nil {
		t.Fatal(err)
	}
	who := owner.Sys().(*syscall.Stat_t)
	cert, key := a.certificate(t, databaseName)
	for name, text := range map[string][]byte{"server.crt": cert, "server.key": key} {
		path := filepath.Join(data, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, int(who.Uid), int(who.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	mustExec(t, conn, `ALTER SYSTEM SET ssl = on`)
	mustExec(t, conn, `SELECT pg_reload_conf()`)
	return server
}
