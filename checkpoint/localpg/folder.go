//go:build unix

package localpg

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	folderPrefix = "tokenmigrate-pg-"
	lockName     = "lock"
	// unlockedAge is how old a folder without a lock file must be to be swept:
	// a younger one may be about to get its lock.
	unlockedAge = time.Minute
)

// folder is the temporary folder of one server: the data directory, the log and
// the lock file that says that somebody owns it.
type folder struct {
	path string
	lock *os.File // locked; closing it (also by dying) gives the folder free to be swept
}

// data returns the data directory.
func (f *folder) data() string { return filepath.Join(f.path, "data") }

// remove removes the folder; the lock is kept until its file is closed.
func (f *folder) remove() error { return os.RemoveAll(f.path) }

// newFolder makes a locked folder that belongs to the account.
func newFolder(as *account) (*folder, error) {
	base := tempBase(as)
	for range 10 {
		path, err := os.MkdirTemp(base, folderPrefix)
		if err != nil {
			return nil, err
		}
		f, err := lockFolder(path, as)
		switch {
		case f != nil:
			return f, nil
		case err != nil:
			return nil, errors.Join(err, os.RemoveAll(path))
		}
	}
	return nil, fmt.Errorf("make a temporary folder in %s: it cannot be locked, or others keep removing it; set TMPDIR to another place", base)
}

// lockFolder makes the lock file of a new folder, takes the lock and gives both
// to the account. It returns nil and no error where a sweep was faster: between
// two of these steps it may find a lock that nobody holds, and remove the folder.
func lockFolder(path string, as *account) (*folder, error) {
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !tryLock(lock) || !sameFile(lock, lock.Name()) {
		return nil, errors.Join(os.RemoveAll(path), lock.Close())
	}
	if err := errors.Join(as.own(lock.Name()), as.own(path)); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &folder{path: path, lock: lock}, nil
}

// tempBase returns where temporary folders go, without symbolic links:
// os.TempDir, unless the account may not enter it (a root's TMPDIR is often its
// own), else /tmp.
func tempBase(as *account) string {
	for _, base := range []string{os.TempDir(), "/tmp"} {
		if real, err := filepath.EvalSymlinks(base); err == nil && as.mayEnter(real) {
			return real
		}
	}
	return "/tmp"
}

// sweep removes the folders whose owners are gone, with the processes and the
// shared memory that may be left of them. Folders that are in use, or not ours
// to open, are left alone. Trouble is logged and stops nobody.
func sweep(as *account, logf func(string, ...any)) {
	base := tempBase(as)
	entries, err := os.ReadDir(base)
	if err != nil {
		logf("sweep %s: %v", base, err)
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), folderPrefix) {
			continue
		}
		path := filepath.Join(base, entry.Name())
		switch swept, err := sweepFolder(path); {
		case err != nil:
			logf("sweep %s: %v", path, err)
		case swept:
			logf("swept %s, left behind by a killed process", path)
		}
	}
}

// sweepFolder removes one folder if its owner is gone, and reports whether it did.
func sweepFolder(path string) (bool, error) {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() {
		return false, nil
	}
	// The flags keep a stranger from leading us elsewhere by a link, or from
	// keeping us waiting by a pipe.
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if time.Since(info.ModTime()) < unlockedAge {
			return false, nil
		}
		return true, os.RemoveAll(path)
	case err != nil: // another user's
		return false, nil
	}
	defer lock.Close()
	if !tryLock(lock) || !sameFile(lock, lock.Name()) {
		return false, nil
	}
	f := &folder{path: path, lock: lock}
	if err := clearUp(f.data()); err != nil {
		return false, err
	}
	return true, f.remove()
}

// tryLock takes the lock of an open file, or reports that somebody has it. The
// lock belongs to the open file, is inherited by a child that is given it, and
// ends when the last of them has closed it or died.
func tryLock(file *os.File) bool {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// sameFile reports whether the path still leads to the open file.
func sameFile(file *os.File, path string) bool {
	a, errA := file.Stat()
	b, errB := os.Lstat(path)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// postmasterFile stands in the data directory while a server uses it.
const postmasterFile = "postmaster.pid"

// postmaster is what a data directory tells of the server that uses or used it.
// The zero value is none.
type postmaster struct {
	pid   int
	shmID int // its System V segment; Postgres keeps 56 bytes there, as an interlock
}

// readPostmaster reads that file: the process number in its first line (negative
// for a postgres that initdb runs), key and identifier of the segment in its
// seventh.
func readPostmaster(data string) postmaster {
	text, err := os.ReadFile(filepath.Join(data, postmasterFile))
	if err != nil {
		return postmaster{}
	}
	lines := strings.Split(string(text), "\n")
	var m postmaster
	var key uint64
	if _, err := fmt.Sscan(lines[0], &m.pid); err != nil || len(lines) < 7 {
		return postmaster{}
	}
	if _, err := fmt.Sscan(lines[6], &key, &m.shmID); err != nil {
		return postmaster{}
	}
	m.pid = max(m.pid, -m.pid)
	return m
}
