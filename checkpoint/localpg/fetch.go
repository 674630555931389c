//go:build unix

package localpg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

const (
	fetchVersion = embeddedpostgres.V18
	fetchFrom    = "https://repo1.maven.org/maven2"
	// reachLimit is how long the first byte of the download may take to come:
	// without a network, the advice to install Postgres should not.
	reachLimit = 5 * time.Second
)

// fetcher downloads the embedded-postgres binaries, once for all processes.
type fetcher struct {
	from  string // the Maven repository
	cache string // where the binaries are kept
	logf  func(string, ...any)
}

// newFetcher returns a fetcher whose cache the account can read.
func newFetcher(as *account, logf func(string, ...any)) *fetcher {
	f := &fetcher{from: fetchFrom, cache: "/var/cache/tokenmigrate", logf: logf}
	if as == nil {
		f.cache = filepath.Join(os.TempDir(), fmt.Sprintf("tokenmigrate-cache-%d", os.Getuid()))
		if dir, err := os.UserCacheDir(); err == nil {
			f.cache = filepath.Join(dir, "tokenmigrate")
		}
	}
	return f
}

// fetch returns the folder of the binaries, downloading them if they are not in
// the cache. Another process that downloads them is waited for.
func (f *fetcher) fetch(ctx context.Context) (string, error) {
	home := filepath.Join(f.cache, fmt.Sprintf("postgres-%s-%s-%s", fetchVersion, runtime.GOOS, runtime.GOARCH))
	bin := filepath.Join(home, "bin")
	if complete(bin) {
		return bin, nil
	}
	if err := f.reachable(ctx); err != nil {
		return "", err
	}
	if err := os.MkdirAll(f.cache, 0o755); err != nil {
		return "", err
	}
	if err := os.Chmod(f.cache, 0o755); err != nil { // as in openToAll
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(f.cache, "download.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	for !tryLock(lock) {
		if !pause(ctx, 100*time.Millisecond) {
			return "", fmt.Errorf("wait for another process to download postgres into %s: %w", f.cache, context.Cause(ctx))
		}
	}
	if complete(bin) {
		return bin, nil
	}
	// What a killed download left behind; we hold the lock.
	if stale, err := filepath.Glob(filepath.Join(f.cache, "unpack-*")); err == nil {
		for _, dir := range stale {
			_ = os.RemoveAll(dir)
		}
	}
	f.logf("downloading postgres %s from %s into %s", fetchVersion, f.from, home)
	done := make(chan error, 1)
	go func() { done <- f.unpack(home) }() // cannot be cut short; ends with the download
	select {
	case err := <-done:
		return bin, err
	case <-ctx.Done():
		return "", fmt.Errorf("download postgres: %w", context.Cause(ctx))
	}
}

// complete reports whether a folder has the binaries; it appears at once, whole.
func complete(bin string) bool {
	_, err := os.Stat(filepath.Join(bin, "postgres"))
	return err == nil
}

// reachable asks the repository for anything at all.
func (f *fetcher) reachable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reachLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, f.from+"/", nil)
	if err != nil {
		return err
	}
	req.Close = true // the one request is all
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("reach %s: %w", f.from, err)
	}
	return resp.Body.Close()
}

// unpack downloads and unpacks into a folder beside home, and renames that.
func (f *fetcher) unpack(home string) error {
	work, err := os.MkdirTemp(f.cache, "unpack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	// The library uses that client, and the goroutines of its idle connections
	// would look like a leak to tests.
	defer http.DefaultClient.CloseIdleConnections()
	fresh := filepath.Join(work, "postgres")
	// The library knows no way to fetch without starting a server, which it
	// would do unwatched, and not at all as root. An encoding that initdb does
	// not know makes it turn back right after unpacking.
	server := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version(fetchVersion).BinaryRepositoryURL(f.from).CachePath(work).BinariesPath(fresh).
		RuntimePath(filepath.Join(work, "runtime")).Encoding("none-only-unpack").Logger(io.Discard))
	defer removeLogs(time.Now())
	switch err := server.Start(); {
	case err == nil:
		if err := server.Stop(); err != nil {
			return err
		}
	case !strings.HasPrefix(err.Error(), "unable to init database"):
		return fmt.Errorf("download postgres %s: %w", fetchVersion, err)
	}
	if !complete(filepath.Join(fresh, "bin")) {
		return errors.New("download postgres: the archive holds no bin/postgres")
	}
	if err := openToAll(fresh); err != nil {
		return err
	}
	return os.Rename(fresh, home)
}

// removeLogs removes the empty files that the library has made in the temporary
// folder since a moment, and leaves there.
func removeLogs(since time.Time) {
	logs, _ := filepath.Glob(filepath.Join(os.TempDir(), "embedded_postgres_log*"))
	for _, path := range logs {
		info, err := os.Stat(path)
		if err == nil && info.Size() == 0 && !info.ModTime().Before(since.Add(-time.Second)) {
			_ = os.Remove(path)
		}
	}
}

// openToAll lets every user read what an umask may have closed: as root, the
// binaries are run by another one.
func openToAll(root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() | 0o444
		if mode&0o100 != 0 {
			mode |= 0o111
		}
		return os.Chmod(path, mode)
	})
}
