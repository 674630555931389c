package main

import (
	"crypto/x509"
	"debug/elf"
	"encoding/json"
	"encoding/pem"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tokenmigrate/migrate/connect/sandbox"
)

// imageVar names the folder that `go run . unpack` of deploy/image wrote: the
// image's files and its configuration. These tests need root, for the namespaces
// in which they run it; .ci/run builds the image and calls them.
const imageVar = "TOKENMIGRATE_TEST_IMAGE_DIR"

// image is the container image, unpacked.
type image struct {
	folder string
	Config struct {
		User       string
		Entrypoint []string
		Env        []string
		Labels     map[string]string
	} `json:"config"`
}

// unpackedImage returns the image of imageVar. Without the variable the test is
// skipped; with it, whatever is missing is a failure.
func unpackedImage(t *testing.T) *image {
	t.Helper()
	img := &image{folder: os.Getenv(imageVar)}
	if img.folder == "" {
		t.Skip("needs root and the image: run deploy/release.sh, unpack its archive and set " + imageVar + ", as .ci/run does")
	}
	if os.Geteuid() != 0 {
		t.Fatalf("%s is set, and the image can only be run by root", imageVar)
	}
	text, err := os.ReadFile(filepath.Join(img.folder, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, img); err != nil {
		t.Fatal(err)
	}
	return img
}

func (i *image) rootfs() string { return filepath.Join(i.folder, "rootfs") }

// The image holds the program and certificate authorities, and says who it is.
func TestImage_HoldsNothingElse(t *testing.T) {
	img := unpackedImage(t)
	want := map[string]string{
		"etc": "drwxr-xr-x", "etc/ssl": "drwxr-xr-x", "etc/ssl/certs": "drwxr-xr-x",
		"etc/ssl/certs/ca-certificates.crt": "-rw-r--r--", "tokenmigrate": "-rwxr-xr-x",
	}
	got := map[string]string{}
	for path, f := range listing(t, img.rootfs()) {
		got[path] = f.mode.String()
	}
	if !maps.Equal(got, want) {
		t.Errorf("the image's files: got %v, want %v", got, want)
	}
	if img.Config.User != "65532:65532" {
		t.Errorf("the image's user: got %q, want the number of nobody in particular", img.Config.User)
	}
	if !slices.Equal(img.Config.Entrypoint, []string{"/tokenmigrate"}) || len(img.Config.Env) > 0 {
		t.Errorf("the image runs %q with %q, want /tokenmigrate and no variables", img.Config.Entrypoint, img.Config.Env)
	}
	for _, label := range []string{"title", "description", "version", "revision", "created"} {
		if img.Config.Labels["org.opencontainers.image."+label] == "" {
			t.Errorf("the image has no label %s: %v", label, img.Config.Labels)
		}
	}

	program, err := elf.Open(filepath.Join(img.rootfs(), "tokenmigrate"))
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	if libraries, err := program.ImportedLibraries(); err == nil && len(libraries) > 0 || program.Section(".interp") != nil {
		t.Errorf("the program is not static: it needs %q", libraries)
	}
	authorities := img.authorities(t)
	if len(authorities) < 100 {
		t.Errorf("the image trusts %d authorities, want those of Mozilla", len(authorities))
	}
	if !slices.ContainsFunc(authorities, func(c *x509.Certificate) bool { return c.Subject.CommonName == "ISRG Root X1" }) {
		t.Error("the image does not trust ISRG Root X1")
	}
}

// authorities returns the certificates of the image's bundle.
func (i *image) authorities(t *testing.T) []*x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(i.rootfs(), bundlePath))
	if err != nil {
		t.Fatal(err)
	}
	var all []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// The version and commit that the labels tell are those that the program tells.
func TestImage_TellsItsVersion(t *testing.T) {
	img := unpackedImage(t)
	c := newContainer(t, img, sandbox.Options{})
	p := c.start("version")
	if code := p.wait(); code != 0 {
		t.Fatalf("version: exit code %d\n%s", code, p.said())
	}
	labels := img.Config.Labels
	want := "tokenmigrate " + labels["org.opencontainers.image.version"] + "\ncommit " + labels["org.opencontainers.image.revision"] + "\n"
	if got := p.stdout.String(); !strings.HasPrefix(got, want) {
		t.Errorf("version: got %q, want it to begin with %q", got, want)
	}
}

// From nothing but the image, as nobody, on a read-only root, a whole migration is
// done over TLS, on both sides with the server's certificate and name verified by
// the image's own bundle, to which the authority of this test is added.
func TestImage_Migrates(t *testing.T) {
	const rows = 250
	img := unpackedImage(t)
	c := newContainer(t, img, sandbox.Options{Latency: 200 * time.Millisecond}).fill(rows)
	c.trust(bundlePath, true)
	p := c.start("run")
	c.rig.untilCalls(2)
	c.confined(p)
	if code := p.wait(); code != 0 {
		t.Fatalf("exit code: got %d, want 0\n%s", code, p.said())
	}
	c.migrated(rows, "Done: 250 imported now")
	c.unchanged()
}

// Where it might write anything, it writes its last words to where it is told, and
// nothing else. The authority of the test is given to it by SSL_CERT_FILE.
func TestImage_WritesNothing(t *testing.T) {
	const rows = 250
	c := newContainer(t, unpackedImage(t), sandbox.Options{}).fill(rows)
	c.trust("run/secrets/authority", false)
	c.env["SSL_CERT_FILE"] = "/run/secrets/authority"
	c.env["TOKENMIGRATE_TERMINATION_LOG"] = "/words/last"
	c.words = "words/last"
	c.writable(t)
	p := c.start("run", "--listen", "127.0.0.1:0")
	if code := p.wait(); code != 0 {
		t.Fatalf("exit code: got %d, want 0\n%s", code, p.said())
	}
	c.migrated(rows, "Done: 250 imported now")
	c.unchanged()
}

// A server whose certificate nobody vouches for gets no token and no password, and
// the container's last words say so.
func TestImage_RefusesUnknownAuthorities(t *testing.T) {
	for _, c := range []struct {
		name     string
		database bool   // it is trusted
		url      string // where the endpoint is instead, by a name that its certificate has not
		says     []string
	}{
		{name: "of the endpoint", database: true, says: []string{"the call was not made", "certificate signed by unknown authority"}},
		{name: "of the database", says: []string{"source", "certificate signed by unknown authority"}},
		{name: "another name", database: true, url: "elsewhere.test", says: []string{"the call was not made", "elsewhere.test", "certificate is valid for"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newContainer(t, unpackedImage(t), sandbox.Options{}).fill(10)
			if c.database {
				k.trust("run/secrets/authority", false)
				k.rootCert = "/run/secrets/authority"
			}
			if c.url != "" {
				k.trust(bundlePath, true)
				k.rig.with("destination.url", strings.Replace(k.rig.conf["destination.url"], endpointName, c.url, 1))
			}
			p := k.start("run")
			if code := p.wait(); code != 78 {
				t.Errorf("exit code: got %d, want 78\n%s", code, p.said())
			}
			last := k.lastWords()
			for _, text := range c.says {
				if !strings.Contains(last.Error, text) || !strings.Contains(p.stderr.String(), text) {
					t.Errorf("neither last words nor stderr may lack %q:\n%s\n%s", text, last.Error, p.said())
				}
			}
			if calls := k.rig.endpoint.Summary().Calls; calls > 0 {
				t.Errorf("%d calls arrived, want none", calls)
			}
		})
	}
}

// As process 1, which the kernel spares what it does not handle, SIGTERM drains;
// the next container finishes the rest, and the one after has nothing to do.
func TestImage_DrainsAsProcessOne(t *testing.T) {
	const rows = 100
	c := newContainer(t, unpackedImage(t), sandbox.Options{Latency: 200 * time.Millisecond}).fill(rows)
	c.rig.with("send.chunk_tokens", "5", "send.concurrency", "1")
	c.trust(bundlePath, true)
	p := c.start("run")
	c.rig.untilCalls(2)
	if err := syscall.Kill(c.pid(p), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(); code != 75 {
		t.Fatalf("exit code: got %d, want 75\n%s", code, p.said())
	}
	if last := c.lastWords(); last.StoppedBy != "signal" || last.Counts.Imported == 0 || last.Counts.Imported == rows {
		t.Errorf("last words: got %+v, want a signal in the middle", last)
	}
	if p := c.start("run"); p.wait() != 0 {
		t.Fatalf("the next one: exit code %d\n%s", p.code, p.said())
	}
	calls := c.rig.endpoint.Summary().Calls
	if p := c.start("run"); p.within(10*time.Second) != 0 {
		t.Fatalf("the one after: exit code %d\n%s", p.code, p.said())
	}
	if again := c.rig.endpoint.Summary().Calls; again != calls {
		t.Errorf("the one after made %d calls, want none", again-calls)
	}
	c.migrated(rows, "Done: 0 imported now, 100 before")
}
