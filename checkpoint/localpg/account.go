//go:build unix

package localpg

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the user that Postgres runs as where we are root. A nil account is
// ourselves, and its methods have nothing to do.
type account struct {
	name     string
	uid, gid uint32
}

// chooseAccount returns nil for an ordinary user, and for root the user postgres
// or else nobody.
func chooseAccount() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "_postgres", "nobody"} {
		entry, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := parseID(entry.Uid)
		gid, err2 := parseID(entry.Gid)
		if err1 == nil && err2 == nil && uid != 0 {
			return &account{name: name, uid: uid, gid: gid}, nil
		}
	}
	return nil, errors.New("postgres refuses to run as root, and there is neither a user postgres nor nobody to run it as: add one (useradd --system postgres), or run as another user")
}

// parseID reads a user's or group's number; some systems write nobody's as -2.
func parseID(text string) (uint32, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	return uint32(n), err
}

// own gives a file to the account.
func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	return os.Lchown(path, int(a.uid), int(a.gid))
}

// mayEnter reports whether the account may pass through a folder and all those
// above it. path has no symbolic links.
func (a *account) mayEnter(path string) bool {
	if a == nil {
		return true
	}
	for {
		info, err := os.Stat(path)
		if err != nil {
			return false
		}
		mode := info.Mode().Perm()
		stat, ok := info.Sys().(*syscall.Stat_t)
		switch {
		case ok && stat.Uid == a.uid:
			mode >>= 6
		case ok && stat.Gid == a.gid:
			mode >>= 3
		}
		if mode&1 == 0 {
			return false
		}
		parent := filepath.Dir(path)
		if parent == path {
			return true
		}
		path = parent
	}
}
