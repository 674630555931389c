//go:build unix

package localpg

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"tokenmigrate/checkpoint/pgerr"
)

const (
	// startLimit bounds one launch, crash recovery included.
	startLimit = 60 * time.Second
	// stopLimit is how long Postgres may take to obey before it is killed.
	stopLimit = 10 * time.Second
	// readyLimit bounds one attempt to connect to a server that starts.
	readyLimit = 2 * time.Second
	// readyEvery is the pause between two attempts to connect.
	readyEvery = 20 * time.Millisecond
	// portAttempts is how many ports are tried while others win the race for them.
	portAttempts = 10
)

// local is what Server holds of a Postgres that runs on this machine.
type local struct {
	account  *account // whom Postgres runs as; nil: as ourselves
	bin      string   // the folder of initdb and postgres
	folder   *folder
	watchdog *watchdog
	port     int

	mu      sync.Mutex
	process *process // nil while killed
	stopped bool
}

// Start finds a Postgres, makes a data directory in a temporary folder and
// starts it on a free port of 127.0.0.1, with a superuser "postgres", a random
// password and an empty database "postgres". It returns when the server takes
// connections. Before that it sweeps what killed processes left behind.
//
// The context bounds Start alone, not the life of the server, which ends with
// Stop or with this process. A download may take minutes; everything else is
// given up after one minute.
func Start(ctx context.Context, opts Options) (_ *Server, err error) {
	s := &Server{opts: opts}
	defer func() {
		if err != nil {
			err = fmt.Errorf("start a throwaway postgres: %w", errors.Join(err, s.Stop()))
		}
	}()
	if s.account, err = chooseAccount(); err != nil {
		return nil, err
	}
	sweep(s.account, s.logf)
	if s.bin, err = newFinder(s.account, s.logf).find(ctx, opts.Bin); err != nil {
		return nil, err
	}
	if s.folder, err = newFolder(s.account); err != nil {
		return nil, err
	}
	if s.watchdog, err = startWatchdog(s.folder, s.account); err != nil {
		return nil, err
	}
	password := rand.Text()
	if err = s.initialize(ctx, password); err != nil {
		return nil, err
	}
	if err = s.launchOnFreePort(ctx, password, freePort); err != nil {
		return nil, err
	}
	s.logf("postgres runs on 127.0.0.1:%d, process %d, in %s", s.port, s.process.pid(), s.folder.path)
	return s, nil
}

// Kill crashes the server: every process of it is killed with SIGKILL at once,
// so that its clients see their connections cut without a word. The data stays
// for Resume. It returns when all of them are gone. A server that does not run
// is an error.
func (s *Server) Kill(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.running("kill postgres"); err != nil {
		return err
	}
	s.process.kill(s.folder.data())
	if err := s.process.wait(ctx); err != nil {
		return fmt.Errorf("kill postgres: %w", err)
	}
	s.ended()
	if err := killLeftovers(ctx, s.folder.data()); err != nil {
		return fmt.Errorf("kill postgres: %w", err)
	}
	s.logf("postgres was killed")
	return nil
}

// Resume starts a killed server again, on the same port and with the same data
// and password, and returns when it has recovered and takes connections. It
// waits for the port if somebody else holds it meanwhile, for at most a minute.
// A server that runs is an error.
func (s *Server) Resume(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.foreign:
		return ErrForeign
	case s.stopped:
		return errors.New("resume postgres: it was stopped for good")
	case s.process != nil && s.process.alive():
		return errors.New("resume postgres: it still runs")
	}
	return s.resume(ctx)
}

// Restart shuts the server down as an administrator would (its clients are told
// with SQLSTATE 57P01) and starts it again, as Resume does.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.running("restart postgres"); err != nil {
		return err
	}
	s.process.signal(shutdownFast)
	if err := s.process.wait(ctx); err != nil {
		return fmt.Errorf("restart postgres: %w", err)
	}
	return s.resume(ctx)
}

// resume launches on the port of before; s.mu is held and nothing runs.
func (s *Server) resume(ctx context.Context) error {
	s.ended()
	if err := clearUp(s.folder.data()); err != nil {
		return fmt.Errorf("resume postgres: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		err := s.launch(ctx, s.port)
		if err == nil {
			s.logf("postgres runs again, process %d", s.process.pid())
			return nil
		}
		if !errors.Is(err, errPortTaken) || !pause(ctx, 5*readyEvery) {
			return fmt.Errorf("resume postgres on port %d: %w", s.port, err)
		}
	}
}

// Stop takes the server down for good and removes everything of it. It may be
// called again, on a killed server, and on nil; the later calls do nothing.
func (s *Server) Stop() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || s.foreign {
		return nil
	}
	s.stopped = true
	var errs []error
	if s.process != nil {
		errs = append(errs, s.process.end(s.folder.data()))
		s.ended()
	} else if s.folder != nil {
		errs = append(errs, clearUp(s.folder.data())) // an initdb cut short leaves something
	}
	if s.folder != nil {
		errs = append(errs, s.folder.remove())
	}
	if s.watchdog != nil {
		errs = append(errs, s.watchdog.stop())
	}
	if s.folder != nil {
		errs = append(errs, s.folder.lock.Close())
		s.logf("postgres is stopped, %s removed", s.folder.path)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stop postgres: %w", err)
	}
	return nil
}

// running returns an error unless Postgres runs and is ours; s.mu is held.
func (s *Server) running(op string) error {
	switch {
	case s.foreign:
		return ErrForeign
	case s.stopped || s.process == nil || !s.process.alive():
		return errors.New(op + ": it does not run")
	}
	return nil
}

// ended notes that the process is gone, for the watchdog too, since its number
// may soon be another's; s.mu is held.
func (s *Server) ended() {
	s.process = nil
	if s.watchdog != nil {
		s.watchdog.forget()
	}
}

// launchOnFreePort tries the ports that choose returns until Postgres could take
// one. Between the choice and the moment Postgres binds it, anybody may take it:
// that is no failure.
func (s *Server) launchOnFreePort(ctx context.Context, password string, choose func() (int, error)) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for attempt := 1; ; attempt++ {
		port, err := choose()
		if err != nil {
			return err
		}
		u := url.URL{
			Scheme: "postgres", User: url.UserPassword(superuser, password),
			Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Path: "/" + superuser, RawQuery: "sslmode=disable",
		}
		s.port, s.base = port, u.String()
		err = s.launch(ctx, port)
		if err == nil || !errors.Is(err, errPortTaken) || attempt == portAttempts {
			return err
		}
		s.logf("port %d was taken by somebody else, trying another", port)
	}
}

// launch starts Postgres on the port and waits until it takes connections.
func (s *Server) launch(ctx context.Context, port int) error {
	logFile := filepath.Join(s.folder.path, "server.log")
	if err := os.Truncate(logFile, 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	p, err := s.startPostgres(port, logFile)
	if err != nil {
		return err
	}
	s.process = p
	for {
		// Only our own server knows the password, so whoever lets us in is ours.
		// Somebody else who has the port may well say nothing at all.
		attempt, cancel := context.WithTimeout(ctx, readyLimit)
		refused := s.exec(attempt, "SELECT 1")
		cancel()
		if refused == nil {
			return nil
		}
		select {
		case <-p.done:
			s.ended()
			return exitError(logFile)
		default:
		}
		if !pause(ctx, readyEvery) {
			end := p.end(s.folder.data())
			s.ended()
			return errors.Join(fmt.Errorf("postgres took no connections in time (%w): %w", context.Cause(ctx), pgerr.Wrap("connect", refused)), end)
		}
	}
}

// pause waits for d and reports whether the context still stands.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
