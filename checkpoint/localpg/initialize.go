//go:build unix

package localpg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// superuser is the name of the role, and of the database that always exists.
const superuser = "postgres"

// throwaway are the settings of a server that is made for minutes: no syncing,
// little memory, nothing outside its folder, nothing but the loopback address.
var throwaway = map[string]string{
	"listen_addresses":        "127.0.0.1",
	"unix_socket_directories": "",
	"max_connections":         "100",
	"shared_buffers":          "64MB",
	"fsync":                   "off",
	"full_page_writes":        "off",
	// Commits still wait for the log to be written (not synced), since what
	// tests prove about crashes rests on the order of commits.
	"synchronous_commit": "on",
	// In the data directory rather than in /dev/shm, which is small in
	// containers and would keep the segments of a killed server.
	"dynamic_shared_memory_type": "mmap",
	"huge_pages":                 "off",
	"log_timezone":               "UTC",
	"TimeZone":                   "UTC",
}

// initialize makes the data directory, with the password for the superuser, and
// writes the settings.
func (s *Server) initialize(ctx context.Context, password string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	s.logf("making a data directory in %s with %s", s.folder.path, s.bin)
	secret := filepath.Join(s.folder.path, "password")
	if err := os.WriteFile(secret, []byte(password+"\n"), 0o600); err != nil {
		return err
	}
	defer os.Remove(secret)
	if err := s.account.own(secret); err != nil {
		return err
	}
	// C.UTF-8 sorts by bytes and knows the letters of Unicode, but not every
	// system has it; C is everywhere.
	err := s.initdb(ctx, secret, "C.UTF-8")
	if err != nil && ctx.Err() == nil {
		if os.RemoveAll(s.folder.data()) == nil {
			err = s.initdb(ctx, secret, "C")
		}
	}
	if err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(s.folder.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(configuration(throwaway) + configuration(s.opts.Settings))
	return errors.Join(err, file.Close())
}

// initdb runs the program of that name with one locale. The watchdog knows of it
// while it runs.
func (s *Server) initdb(ctx context.Context, secret, locale string) error {
	program := filepath.Join(s.bin, "initdb")
	cmd := s.watched(ctx, program,
		"--pgdata="+s.folder.data(), "--username="+superuser, "--pwfile="+secret, "--auth=scram-sha-256",
		"--encoding=UTF8", "--locale="+locale, "--no-sync")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	s.watchdog.forget()
	switch exit := (*exec.ExitError)(nil); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("run %s: %w", program, context.Cause(ctx))
	case errors.As(err, &exit):
		return fmt.Errorf("run %s: %w: %s", program, err, lastWords(out.Bytes()))
	}
	return startError(cmd, s.account, err)
}

// configuration returns settings as lines of postgresql.conf, sorted by name.
func configuration(settings map[string]string) string {
	quote := strings.NewReplacer(`\`, `\\`, `'`, `''`, "\n", `\n`)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, "%s = '%s'\n", name, quote.Replace(settings[name]))
	}
	return b.String()
}

// errPortTaken says that another process listens where Postgres should.
var errPortTaken = errors.New("the port is taken")

// exitError says why Postgres ended, from the end of its log.
func exitError(logFile string) error {
	text, err := os.ReadFile(logFile)
	if err != nil {
		return fmt.Errorf("postgres ended, and its log cannot be read: %w", err)
	}
	if bytes.Contains(text, []byte("could not bind")) {
		return errPortTaken
	}
	return fmt.Errorf("postgres ended: %s", lastWords(text))
}

// lastWords returns the end of a program's output as one line.
func lastWords(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) > 5 {
		lines = lines[len(lines)-5:]
	}
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	text := strings.Join(lines, "; ")
	if text == "" {
		return "it said nothing"
	}
	if len(text) > 1000 {
		text = text[len(text)-1000:]
	}
	return strings.ToValidUTF8(text, "?")
}
