//go:build unix

package localpg

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	halt     = syscall.SIGSTOP
	killHard = syscall.SIGKILL

	// childEnv makes the test binary a program that starts a server and waits
	// to be killed.
	childEnv = "LOCALPG_TEST_CHILD"
)

// orphan is what such a program tells of its server.
type orphan struct {
	Path, URL                      string
	Postgres, Watchdog, ShmID, UID int
}

// child is that program. In mode "running" it tells of the server once it runs,
// in mode "starting" only the folder, right before initdb; in mode "stopping" it
// stops the server. It ends when its standard input does.
func child(mode string) {
	tell := func(o orphan) {
		if err := json.NewEncoder(os.Stdout).Encode(o); err != nil {
			os.Exit(1)
		}
	}
	opts := Options{}
	if mode == "starting" {
		opts.Log = writerFunc(func(line string) {
			if _, rest, ok := strings.Cut(line, "making a data directory in "); ok {
				tell(orphan{Path: strings.Fields(rest)[0]})
			}
		})
	}
	s, err := Start(context.Background(), opts)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	o := orphan{Path: s.folder.path, URL: s.URL("postgres"), Postgres: s.process.pid(),
		Watchdog: s.watchdog.cmd.Process.Pid, ShmID: readPostmaster(s.folder.data()).shmID, UID: os.Getuid()}
	if mode == "stopping" {
		if err := s.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	tell(o)
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// spawn runs the test binary as a child, as the given user if there is one, and
// returns what it told first.
func spawn(t *testing.T, mode string, as *account) (*exec.Cmd, orphan) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if as != nil {
		program = copyProgram(t, program)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), childEnv+"="+mode, overrideEnv+"=")
	cmd.Stderr = os.Stderr
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if as != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: as.uid, Gid: as.gid}
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close() })
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatalf("the child told nothing: %v", err)
	}
	var o orphan
	if err := json.Unmarshal(line, &o); err != nil {
		t.Fatal(err)
	}
	return cmd, o
}

// ownTemp makes folders of this test, and of its children, appear in a place
// where no other test sweeps or starts servers. Any user may enter and use it.
func ownTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "localpg-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	return dir
}

// copyProgram copies the test binary to where any user may run it.
func copyProgram(t *testing.T, program string) string {
	t.Helper()
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(ownTemp(t), "child")
	if err := os.WriteFile(copied, content, 0o755); err != nil {
		t.Fatal(err)
	}
	return copied
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// ownerless reports whether nobody holds the lock of a folder, which is so a
// moment after its owner and its watchdog were killed.
func ownerless(t *testing.T, path string) bool {
	t.Helper()
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	return tryLock(lock)
}

func TestWatchdog_EndsTheServerOfAKilledProcess(t *testing.T) {
	ownTemp(t)
	cmd, o := spawn(t, "running", nil)
	if len(processesOf(filepath.Join(o.Path, "data"))) == 0 {
		t.Fatal("the child's server does not run")
	}
	// The whole process group, as a job runner would.
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, o.Path+" is gone", func() bool { return !exists(o.Path) })
	gone(t, o.Path, o.ShmID)
}

func TestWatchdog_EndsAnInitdbToo(t *testing.T) {
	dir := ownTemp(t)
	cmd, o := spawn(t, "starting", nil)
	data := filepath.Join(o.Path, "data")
	var master postmaster
	eventually(t, "initdb runs a postgres with shared memory", func() bool {
		master = readPostmaster(data)
		return master.shmID != 0
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	// The postgres of an initdb is interrupted without giving back its memory;
	// then the folder is left to the sweep.
	as, err := chooseAccount()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, dir+" is empty", func() bool {
		sweep(as, t.Logf)
		return !exists(o.Path)
	})
	gone(t, o.Path, master.shmID)
}

func TestStart_SweepsWhatNobodyOwns(t *testing.T) {
	ownTemp(t)
	cmd, o := spawn(t, "running", nil)
	// With the watchdog dead as well, nobody is left to end the server.
	if err := syscall.Kill(o.Watchdog, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	eventually(t, "the watchdog is gone", func() bool { return ownerless(t, o.Path) })
	if got := processesOf(filepath.Join(o.Path, "data")); len(got) < 3 {
		t.Fatalf("processes before the sweep: got %v, want an orphaned server", got)
	}
	start(t, Options{})
	gone(t, o.Path, o.ShmID)
}

func TestStart_SweepsSharedMemoryOfAKilledPostmaster(t *testing.T) {
	ownTemp(t)
	cmd, o := spawn(t, "running", nil)
	if err := syscall.Kill(o.Postgres, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	data := filepath.Join(o.Path, "data")
	eventually(t, "the processes of "+data+" and the watchdog are gone", func() bool {
		return len(processesOf(data)) == 0 && ownerless(t, o.Path)
	})
	if !segmentExists(o.ShmID) {
		t.Errorf("segment %d is gone before the sweep: this test proves nothing", o.ShmID)
	}
	start(t, Options{})
	gone(t, o.Path, o.ShmID)
}

func TestStart_SparesTheServersOfTheLiving(t *testing.T) {
	ownTemp(t)
	_, o := spawn(t, "running", nil)
	own := start(t, Options{})
	start(t, Options{})
	connect(t, o.URL)
	connect(t, own.URL("postgres"))
}

func TestStart_WorksForEveryUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can try other users; every other test here tries this one")
	}
	for _, as := range []*account{nil, {name: "nobody", uid: 65534, gid: 65534}} {
		_, o := spawn(t, "stopping", as)
		want := 0
		if as != nil {
			want = int(as.uid)
		}
		if o.UID != want {
			t.Errorf("the child ran as user %d, want %d", o.UID, want)
		}
		gone(t, o.Path, o.ShmID)
	}
}

func TestStart_DropsRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("root only")
	}
	t.Setenv("TMPDIR", closedFolder(t))
	s := start(t, Options{})
	info, err := os.Stat(s.folder.data())
	if err != nil {
		t.Fatal(err)
	}
	if uid := info.Sys().(*syscall.Stat_t).Uid; uid == 0 || uid != s.account.uid {
		t.Errorf("owner of the data: got user %d, want %d (%s)", uid, s.account.uid, s.account.name)
	}
	if !strings.HasPrefix(s.folder.path, "/tmp/"+folderPrefix) {
		t.Errorf("folder: got %s, want one under /tmp, since TMPDIR is closed to %s", s.folder.path, s.account.name)
	}
}

// closedFolder returns a folder that other users may not enter.
func closedFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSweepFolder_JudgesByTheLock(t *testing.T) {
	long := time.Now().Add(-2 * unlockedAge)
	elsewhere := t.TempDir()
	for name, c := range map[string]struct {
		prepare func(path string) error
		swept   bool
	}{
		"free lock":          {func(p string) error { return os.WriteFile(filepath.Join(p, lockName), nil, 0o600) }, true},
		"no lock yet":        {func(string) error { return nil }, false},
		"no lock for long":   {func(p string) error { return os.Chtimes(p, long, long) }, true},
		"lock is a pipe":     {func(p string) error { return syscall.Mkfifo(filepath.Join(p, lockName), 0o600) }, true},
		"lock leads away":    {func(p string) error { return os.Symlink("/dev/null", filepath.Join(p, lockName)) }, false},
		"folder leads away":  {func(p string) error { return swap(p, func() error { return os.Symlink(elsewhere, p) }) }, false},
		"file, not a folder": {func(p string) error { return swap(p, func() error { return os.WriteFile(p, nil, 0o600) }) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), folderPrefix+"x")
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := c.prepare(path); err != nil {
				t.Fatal(err)
			}
			got, err := sweepFolder(path)
			if err != nil || got != c.swept || exists(path) == c.swept {
				t.Errorf("got swept=%t, err=%v, exists=%t; want swept=%t", got, err, exists(path), c.swept)
			}
		})
	}
	if !exists(elsewhere) {
		t.Error("the sweep followed a link")
	}
}

// swap replaces a folder by what put makes.
func swap(path string, put func() error) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return put()
}
