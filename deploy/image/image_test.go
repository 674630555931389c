package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// assembled makes an image of stand-ins for the binaries, and returns the folder.
func assembled(t *testing.T, b build) string {
	t.Helper()
	b.binaries = t.TempDir()
	for _, arch := range architectures {
		if err := os.WriteFile(filepath.Join(b.binaries, "tokenmigrate-linux-"+arch), []byte("the program for "+arch), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := t.TempDir()
	if err := b.assemble(out); err != nil {
		t.Fatal(err)
	}
	return out
}

var sample = build{version: "v1.2.3", commit: "0123456789abcdef", created: time.Date(2026, 11, 28, 3, 0, 0, 0, time.UTC)}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// What goes in comes out, for each architecture, as the tree that the Dockerfile
// copies and from the archive.
func TestAssemble_ComesApartAgain(t *testing.T) {
	out := assembled(t, sample)
	for _, arch := range architectures {
		to := t.TempDir()
		if err := unpack(filepath.Join(out, archiveName), arch, to); err != nil {
			t.Fatal(err)
		}
		for _, tree := range []string{filepath.Join(to, "rootfs"), filepath.Join(out, "image", arch)} {
			if got := string(read(t, filepath.Join(tree, "tokenmigrate"))); got != "the program for "+arch {
				t.Errorf("%s: got %q", tree, got)
			}
			if !bytes.Contains(read(t, filepath.Join(tree, bundlePath)), []byte("CN=ISRG Root X1,")) {
				t.Errorf("%s: its bundle lacks ISRG Root X1", tree)
			}
			for path, want := range map[string]os.FileMode{"tokenmigrate": 0o755, bundlePath: 0o644, "etc": os.ModeDir | 0o755} {
				if info, err := os.Stat(filepath.Join(tree, path)); err != nil || info.Mode() != want {
					t.Errorf("%s: %s: got %v, %v; want %v", tree, path, info.Mode(), err, want)
				}
			}
		}
		var config v1.ConfigFile
		if err := json.Unmarshal(read(t, filepath.Join(to, "config.json")), &config); err != nil {
			t.Fatal(err)
		}
		if config.OS != "linux" || config.Architecture != arch || config.Config.User != user {
			t.Errorf("%s: got %+v", arch, config)
		}
	}
	if err := unpack(filepath.Join(out, archiveName), "s390x", t.TempDir()); err == nil || !strings.Contains(err.Error(), "no image for linux/s390x") {
		t.Errorf("another architecture: got %v", err)
	}
}

// The same input makes the same archive, and another one another.
func TestAssemble_IsReproducible(t *testing.T) {
	first := read(t, filepath.Join(assembled(t, sample), archiveName))
	if again := read(t, filepath.Join(assembled(t, sample), archiveName)); !bytes.Equal(first, again) {
		t.Error("the same input made two different archives")
	}
	other := sample
	other.commit = "fedcba9876543210"
	if again := read(t, filepath.Join(assembled(t, other), archiveName)); bytes.Equal(first, again) {
		t.Error("another commit made the same archive")
	}
}

// Whoever builds deploy/Dockerfile gets the image that the archive holds.
func TestDockerfile_SaysTheSame(t *testing.T) {
	text := strings.ReplaceAll(string(read(t, "../Dockerfile")), "\\\n", " ")
	if from := regexp.MustCompile(`(?m)^FROM .*$`).FindAllString(text, -1); len(from) != 1 || from[0] != "FROM scratch" {
		t.Errorf("got %q, want nothing but FROM scratch", from)
	}
	for _, line := range []string{`COPY image/${TARGETARCH}/ /`, "USER " + user, "WORKDIR /", `ENTRYPOINT ["/tokenmigrate"]`} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("the Dockerfile lacks %s", line)
		}
	}
	variables := strings.NewReplacer("${VERSION}", sample.version, "${COMMIT}", sample.commit, "${CREATED}", "2026-11-28T03:00:00Z")
	labels := map[string]string{}
	for _, m := range regexp.MustCompile(`(org\.opencontainers\.[\w.]+)="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		labels[m[1]] = variables.Replace(m[2])
	}
	want := sample.labels()
	for name := range want {
		if labels[name] != want[name] {
			t.Errorf("label %s: got %q, want %q", name, labels[name], want[name])
		}
	}
	if len(labels) != len(want) {
		t.Errorf("the Dockerfile's labels: got %v, want %v", labels, want)
	}
}

// A tar that would write elsewhere, or something else than files, is refused.
func TestUntar_KeepsToItsFolder(t *testing.T) {
	text, err := tarOf([]file{{"../out", []byte("x")}}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if err := untar(bytes.NewReader(text), filepath.Join(t.TempDir(), "in")); err == nil || !strings.Contains(err.Error(), "../out") {
		t.Errorf("got %v, want a refusal of ../out", err)
	}
}
