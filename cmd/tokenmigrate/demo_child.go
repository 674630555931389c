package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// demoChildWait is how long a child that was killed may keep its output open.
const demoChildWait = 5 * time.Second

// narrator prints the demo's own words, and the output of others indented.
type narrator struct {
	w       io.Writer
	colours bool
}

// heading prints the beginning of a step.
func (n *narrator) heading(text string) { fmt.Fprintf(n.w, "\n%s\n", n.paint("1", text)) }

// say prints sentences, each line given on its own.
func (n *narrator) say(format string, args ...any) { fmt.Fprintf(n.w, format+"\n", args...) }

// finding prints whether a promise was kept.
func (n *narrator) finding(f demoFinding) {
	if len(f.problems) == 0 {
		n.say("  %s  %s", n.paint("32", "ok"), f.promise)
		return
	}
	n.say("  %s  %s", n.paint("31", "NOT SO"), f.promise)
	for i, problem := range f.problems {
		if i == 5 {
			n.say("        and %d more", len(f.problems)-i)
			break
		}
		n.say("        %s", problem)
	}
}

// quote prints text that is not the demo's own.
func (n *narrator) quote(text string) {
	in := n.indented()
	_, _ = io.WriteString(in, text)
	in.flush()
}

// paint wraps text in a colour's code, if somebody sees it.
func (n *narrator) paint(code, text string) string {
	if !n.colours {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// indented returns a writer that prints whole lines, indented. flush prints the
// last one if it is not whole.
func (n *narrator) indented() *indenter { return &indenter{n: n} }

type indenter struct {
	n    *narrator
	rest []byte
}

func (in *indenter) Write(text []byte) (int, error) {
	in.rest = append(in.rest, text...)
	for {
		line, rest, whole := bytes.Cut(in.rest, []byte("\n"))
		if !whole {
			return len(text), nil
		}
		if err := in.print(line); err != nil {
			return len(text), err
		}
		in.rest = rest
	}
}

func (in *indenter) flush() {
	if len(in.rest) > 0 {
		_ = in.print(in.rest)
	}
	in.rest = nil
}

func (in *indenter) print(line []byte) error {
	if len(line) == 0 {
		_, err := fmt.Fprintln(in.n.w)
		return err
	}
	_, err := fmt.Fprintf(in.n.w, "    %s\n", line)
	return err
}

// demoChild is one of the program's own commands, run as a process of its own.
type demoChild struct {
	cmd  *exec.Cmd
	out  *indenter
	over chan struct{} // closed when it has ended and its output is printed
	err  error         // of Wait; to be read once over is closed
}

// start runs a command in the demo's folder, with env added to the environment.
// It prints the command and then, as it comes, all its output. The end of ctx
// kills it.
func (d *demo) start(ctx context.Context, env []string, args ...string) (*demoChild, error) {
	cmd := exec.CommandContext(ctx, d.self, args...)
	cmd.Dir = d.folder
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = demoChildWait
	dieWithParent(cmd)
	c := &demoChild{cmd: cmd, out: d.out.indented(), over: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = c.out, c.out // the same writer: one pipe, in order
	d.out.say("\n  $ tokenmigrate %s", strings.Join(args, " "))
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start tokenmigrate %s: %w", args[0], err)
	}
	go func() {
		defer close(c.over)
		c.err = cmd.Wait()
		c.out.flush()
	}()
	return c, nil
}

// kill ends the child with SIGKILL, which it cannot see coming, and returns when
// it is gone.
func (c *demoChild) kill() {
	_ = c.cmd.Process.Kill() // fails only where it has ended by itself
	<-c.over
}

// wait returns the child's exit code, -1 where a signal ended it.
func (c *demoChild) wait() (int, error) {
	<-c.over
	var exit *exec.ExitError
	if c.err != nil && !errors.As(c.err, &exit) {
		return 0, fmt.Errorf("run tokenmigrate %s: %w", c.cmd.Args[1], c.err)
	}
	return c.cmd.ProcessState.ExitCode(), nil
}

// run runs a command to its end. An exit code other than want is an error.
func (d *demo) run(ctx context.Context, env []string, want int, args ...string) error {
	c, err := d.start(ctx, env, args...)
	if err != nil {
		return err
	}
	code, err := c.wait()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	case code != want:
		return fmt.Errorf("tokenmigrate %s ended with exit code %d, not %d", args[0], code, want)
	}
	d.out.say("  (exit code %d)", code)
	return nil
}

// forgetSettings clears from this process's environment, which its commands
// inherit, what would change their doings and the demo's own: the program's
// variables, and those of Postgres clients.
func forgetSettings() {
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if strings.HasPrefix(name, "TOKENMIGRATE_") || strings.HasPrefix(name, "PG") {
			_ = os.Unsetenv(name) // fails for no name that Environ returns
		}
	}
}
