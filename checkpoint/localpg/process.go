//go:build unix

package localpg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	shutdownFast = syscall.SIGINT  // roll back, tell the clients, write a checkpoint
	shutdownNow  = syscall.SIGQUIT // drop everything; the shared memory is still given back
)

// watchdogScript reads process numbers from its standard input until that
// closes, which happens when the owner closes it or dies. It then ends the last
// process named, if any: Postgres gets 5 s to end cleanly; an initdb is killed
// with its group, since it would answer a gentler signal to its children by
// starting others. Last it removes the folder given as its argument; but where
// Postgres did not end cleanly, which its postmaster.pid tells, the folder stays
// for the next sweep, which can also give back the shared memory.
const watchdogScript = `
exec 2>/dev/null
trap '' HUP INT TERM QUIT PIPE
file=$1/data/postmaster.pid
pid=none
while read -r line; do pid=$line; done
if [ "$pid" != none ]; then
	postmaster=
	read -r postmaster <"$file"
	if [ "$postmaster" = "$pid" ]; then
		kill -s QUIT "$pid"
		kill -s CONT "$pid"
		tries=0
		while [ -e "$file" ] && kill -s 0 "$pid" && [ $tries -lt 50 ]; do
			sleep 0.1 || sleep 1
			tries=$((tries + 1))
		done
	fi
	kill -s KILL -- "-$pid"
fi
[ -e "$file" ] || rm -rf -- "$1" || { sleep 1; rm -rf -- "$1"; }
`

// launchScript tells the watchdog its own number and then becomes the program
// given, so that there is no moment at which that runs unknown to the watchdog.
const launchScript = `trap '' PIPE; echo $$ >&3; exec "$@" 3>&-`

// watchdog is the shell that outlives us by a moment.
type watchdog struct {
	cmd  *exec.Cmd
	pipe *os.File // the only lasting write end; closed on exec, so no other program inherits it
}

// startWatchdog starts the watchdog of a folder. It holds the folder's lock
// together with us, so that nobody sweeps while it does.
func startWatchdog(f *folder, as *account) (*watchdog, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	cmd := command(context.Background(), as, "/", "/bin/sh", "-c", watchdogScript, "watchdog", f.path)
	cmd.Stdin = read
	cmd.ExtraFiles = []*os.File{f.lock}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(startError(cmd, as, err), write.Close())
	}
	return &watchdog{cmd: cmd, pipe: write}, nil
}

// forget tells the watchdog that there is no Postgres now. A watchdog that is
// gone cannot be told, and need not be.
func (w *watchdog) forget() { _, _ = io.WriteString(w.pipe, "none\n") }

// stop lets the watchdog end, and waits for it.
func (w *watchdog) stop() error {
	err := w.pipe.Close()
	// How it ended does not matter: it is gone, and so is what it watched.
	_ = w.cmd.Wait()
	return err
}

// process is one run of Postgres.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed once the postmaster is gone and reaped
}

// watched prepares a program that the watchdog ends if we die. Whoever runs it
// calls forget when it has ended.
func (s *Server) watched(ctx context.Context, program string, args ...string) *exec.Cmd {
	shell := append([]string{"-c", launchScript, filepath.Base(program), program}, args...)
	cmd := command(ctx, s.account, s.folder.path, "/bin/sh", shell...)
	cmd.ExtraFiles = []*os.File{s.watchdog.pipe}
	return cmd
}

// startPostgres starts Postgres on the data directory. What it says is appended
// to logFile.
func (s *Server) startPostgres(port int, logFile string) (*process, error) {
	out, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := s.watched(context.Background(), filepath.Join(s.bin, "postgres"), "-D", s.folder.data(), "-p", strconv.Itoa(port))
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, startError(cmd, s.account, err)
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // the log tells more than the exit code
		close(p.done)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// alive reports whether the postmaster still runs.
func (p *process) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// signal sends a signal to the postmaster; one that is gone gets none.
func (p *process) signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) }

// wait waits for the postmaster to be gone.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("process %d is still there: %w", p.pid(), context.Cause(ctx))
	}
}

// kill sends SIGKILL to the postmaster and its children. The postmaster is
// halted first, so that it starts no others and can warn nobody.
func (p *process) kill(data string) {
	p.signal(syscall.SIGSTOP)
	for _, pid := range processesOf(data) {
		if pid != p.pid() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	p.signal(syscall.SIGKILL)
}

// end makes Postgres end at once, cleanly if it obeys.
func (p *process) end(data string) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	p.signal(shutdownNow)
	p.signal(syscall.SIGCONT) // somebody may have halted it, as tests do
	if p.wait(ctx) != nil {
		p.kill(data)
		<-p.done
	}
	return clearUp(data)
}

// clearUp is killLeftovers with stopLimit for its time.
func clearUp(data string) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	return killLeftovers(ctx, data)
}

// killLeftovers kills every process of a data directory, whosever child it is,
// and waits until they are gone. It then gives back the shared memory that they
// kept and removes postmaster.pid, over which Postgres would stumble if the
// number in it were another process's by then.
func killLeftovers(ctx context.Context, data string) error {
	master := readPostmaster(data)
	for {
		left := processesOf(data)
		if len(left) == 0 {
			break
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if !pause(ctx, 5*time.Millisecond) {
			return fmt.Errorf("processes %v of %s are still there: %w", left, data, context.Cause(ctx))
		}
	}
	master.freeSharedMemory()
	if err := os.Remove(filepath.Join(data, postmasterFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// command prepares a program that runs as the account, in a session of its own
// (so that the terminal's Ctrl-C does not reach it) and with an environment that
// says nothing of ours but where libraries and programs are.
func command(ctx context.Context, as *account, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // its children too
	cmd.WaitDelay = stopLimit
	cmd.Dir = dir
	// English messages are read by exitError; the time zone spares initdb its
	// search for one; HOME keeps everybody's dot files out.
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC", "HOME=" + dir}
	for _, name := range []string{"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"} {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if as != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: as.uid, Gid: as.gid}
	}
	return cmd
}

// startError explains why a program could not even be started.
func startError(cmd *exec.Cmd, as *account, err error) error {
	switch {
	case as != nil && errors.Is(err, syscall.EPERM):
		return fmt.Errorf("run %s as user %s: %w: this root may not change users; run as another user", cmd.Path, as.name, err)
	case as != nil && errors.Is(err, syscall.EACCES):
		return fmt.Errorf("run %s as user %s (postgres refuses root): %w: open the folders above it to that user (chmod o+x), or run as another user than root",
			cmd.Path, as.name, err)
	}
	return fmt.Errorf("run %s: %w", cmd.Path, err)
}
