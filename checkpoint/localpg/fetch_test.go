//go:build unix

package localpg

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// fakeArchive is a .tar.xz of the shape that is downloaded: scripts named
// initdb, postgres and pg_ctl in bin, open to their owner alone, which tell a
// version 99.1 and fail at all else, and a file in share.
const fakeArchive = `
/Td6WFoAAATm1rRGAgAhARwAAAAQz1jM4Cf/AQtdADEaShsFkZA3OlG9V3Gz1uQT2IkQonAbexNN15tic70r6rNJbkVqC6RLQH2665UL531xp7
xGLwZr/1m+2cLi9nuQn73yTp6tqFJ+p7ywD21yBwks1fx2One8uzv4pbEZO6sy7ooDOR4fBzAfywdSQ+fiztfj2zNyE0gSfknDpTcmqDG2XH+V
9W8pYaPdqoJ6XuxUu6VuW3OsQUhiBZr/VkTa3KTfZ4LcgI3nrpY+3S5R25TefU9KbVQtJR5NPIsEYcvBwiuukEs1k49OdgpAxbva6u1hVXt/gT
QT4dSX6zz65I/AzFUGEiS6bkudMwtWLkdkpN1vGpgN/orrRo9LMH0vvgpEJjaCgzzXAAAAw+6Ggm0X31gAAacCgFAAAGA+aTyxxGf7AgAAAAAE
WVo=`

// repository serves such an archive, wrapped as it is in public.
func repository(t *testing.T) (url string, downloads *atomic.Int32) {
	t.Helper()
	inner, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(fakeArchive, "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	var jar bytes.Buffer
	w := zip.NewWriter(&jar)
	file, err := w.Create("postgres-linux-x86_64.txz")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(inner); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	downloads = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, ".jar"):
			downloads.Add(1)
			_, _ = w.Write(jar.Bytes())
		default: // the root, and a checksum that need not exist
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, downloads
}

func TestFetcher_DownloadsOnce(t *testing.T) {
	from, downloads := repository(t)
	umask := syscall.Umask(0o077) // which must not close the binaries to the user that runs them
	defer syscall.Umask(umask)
	f := &fetcher{from: from, cache: filepath.Join(ownTemp(t), "cache"), logf: t.Logf}
	if err := os.MkdirAll(filepath.Join(f.cache, "unpack-killed"), 0o755); err != nil {
		t.Fatal(err)
	}
	find := bareFinder(t)
	find.fetch = f.fetch
	for range 2 {
		bin, err := find.find(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := find.works(t.Context(), bin); err != nil {
			t.Errorf("what was downloaded does not run: %v", err)
		}
		info, err := os.Stat(filepath.Join(bin, "..", "share", "postgres.bki"))
		if err != nil || info.Mode().Perm()&0o444 != 0o444 {
			t.Errorf("share: got %v, %v; want a file for all to read", info, err)
		}
	}
	if got := downloads.Load(); got != 1 {
		t.Errorf("downloads: got %d, want 1", got)
	}
	if left, _ := filepath.Glob(filepath.Join(f.cache, "unpack-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFetcher_GivesUp(t *testing.T) {
	missing := httptest.NewServer(http.NotFoundHandler())
	defer missing.Close()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	release := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer silent.Close()
	defer close(release)
	for name, c := range map[string]struct{ from, want string }{
		"nobody there":    {closed.URL, "reach " + closed.URL},
		"silence":         {silent.URL, "reach " + silent.URL},
		"nothing to have": {missing.URL, "download postgres"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if name == "nothing to have" {
				ctx = t.Context()
			}
			f := &fetcher{from: c.from, cache: t.TempDir(), logf: t.Logf}
			bin, err := f.fetch(ctx)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %q, %v; want an error with %q", bin, err, c.want)
			}
		})
	}
}
