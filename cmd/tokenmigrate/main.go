// Command tokenmigrate moves OAuth tokens out of a team's own Postgres into
// Vercel Connect, through its bulk import call. `tokenmigrate demo` shows it at
// work on a throwaway database; `tokenmigrate --help` lists the commands, and
// README.md tells the rest.
//
// Results go to stdout, logs and progress to stderr. Every flag has an
// environment variable, TOKENMIGRATE_ and the flag's name. The exit codes are
// those of exitCode.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tokenmigrate/migrate/report"
)

// version is stamped in when a release is built.
var version = ""

func main() {
	// net/http reports oddities of a connection through the standard logger, with
	// up to 4 KiB of what the server sent, which may echo a credential.
	log.SetOutput(io.Discard)
	drain, cut, stop := signals()
	code := run(drain, cut, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// signals returns a context that the first SIGINT or SIGTERM ends, and one that
// the second ends.
func signals() (drain, cut context.Context, stop func()) {
	drain, endDrain := context.WithCancel(context.Background())
	cut, endCut := context.WithCancel(context.Background())
	got := make(chan os.Signal, 2)
	signal.Notify(got, os.Interrupt, syscall.SIGTERM)
	over := make(chan struct{})
	go func() {
		for _, end := range []context.CancelFunc{endDrain, endCut} {
			select {
			case <-got:
				end()
			case <-over:
				return
			}
		}
	}()
	return drain, cut, func() { signal.Stop(got); close(over); endDrain(); endCut() }
}

// app is what commands share: the process's surroundings and the flags that
// all of them have.
type app struct {
	cut            context.Context // ended by the second signal
	getenv         func(string) (string, bool)
	stdout, stderr io.Writer

	configPath string
	logFormat  string
	logLevel   string

	lines *lines         // stderr, for whole lines: logs
	cfg   *Config        // once loaded
	ended *report.Report // of a run or dry run, once it is over
}

// run executes one command line and returns the process's exit code. The end of
// drain asks a migration to finish what is in flight; the end of cut does not.
func run(drain, cut context.Context, args []string, getenv func(string) (string, bool), stdout, stderr io.Writer) int {
	a := &app{cut: cut, getenv: getenv, stdout: stdout, stderr: stderr, lines: &lines{w: stderr}}
	root := a.command()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(drain)
	if err != nil {
		a.printError(err)
	}
	a.writeEnding(err)
	return exitCode(err)
}

// printError tells an error on stderr, one line for each problem, through the
// last line of defence against secrets.
func (a *app) printError(err error) {
	text := a.cfg.Redact(err.Error())
	for line := range strings.Lines(text) {
		fmt.Fprintln(a.stderr, "tokenmigrate:", strings.TrimRight(line, "\n"))
	}
	var usage *usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(a.stderr, "tokenmigrate: see `%s --help`\n", usage.command)
	}
}

// usageError is a command line that cannot be understood.
type usageError struct {
	command string
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// command returns the command tree.
func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:           "tokenmigrate",
		Short:         "Move OAuth tokens from your Postgres into Vercel Connect",
		Long:          rootHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return fromEnvironment(cmd, a.getenv)
		},
	}
	root.PersistentFlags().StringVar(&a.logFormat, "log-format", "auto", "json, console, or auto: console on a terminal")
	root.PersistentFlags().StringVar(&a.logLevel, "log-level", "info", "trace, debug, info, warn or error")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return &usageError{cmd.CommandPath(), err} })
	root.AddCommand(a.runCommand(), a.dryRunCommand(), a.statusCommand(), a.reportCommand(), a.failuresCommand(), a.explainCommand(),
		a.pauseCommand("pause", true, "Let running and later workers make no calls", "paused; workers stop calling within 5 seconds"),
		a.pauseCommand("resume", false, "Let paused workers go on", "goes on within 5 seconds"), a.paceCommand(),
		a.initCommand(), a.storesCommand(), a.checkCommand(), a.checkpointCommand(), newSandboxCommand(programVersion()), a.demoCommand(), a.versionCommand())
	for _, cmd := range root.Commands() {
		wrapArgs(cmd)
	}
	wrapArgs(root)
	return root
}

// wrapArgs makes complaints about arguments usage errors.
func wrapArgs(cmd *cobra.Command) {
	check := cmd.Args
	if check == nil {
		check = noArguments
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &usageError{cmd.CommandPath(), err}
		}
		return nil
	}
}

// noArguments refuses words where a command takes none. It repeats them only
// where they look like a name: a connection string may hold a password.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	plain := plainKey.MatchString(args[0])
	if !cmd.HasAvailableSubCommands() {
		remedy := "leave out "
		if plain {
			remedy += strconv.Quote(args[0])
		} else {
			remedy += "what stands behind it"
		}
		if cmd.Flags().Lookup("config") != nil {
			remedy += ", or put -c before it if it is the configuration"
		}
		return fmt.Errorf("%s takes no arguments; %s", cmd.CommandPath(), remedy)
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	remedy := "known: " + strings.Join(names, ", ")
	if near := nearest(args[0], names); near != "" {
		remedy = "did you mean " + near + "?"
	}
	if !plain {
		return fmt.Errorf("%s has no such command; %s", cmd.CommandPath(), remedy)
	}
	return fmt.Errorf("%s has no command %q; %s", cmd.CommandPath(), args[0], remedy)
}

// fromEnvironment gives flags that are not on the command line the value of
// their environment variable, if it is set.
func fromEnvironment(cmd *cobra.Command, getenv func(string) (string, bool)) error {
	var problems []error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := "TOKENMIGRATE_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := getenv(name)
		if f.Changed || !ok || f.Name == "help" {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			problems = append(problems, &usageError{cmd.CommandPath(), fmt.Errorf("%s: %w", name, err)})
		}
	})
	return errors.Join(problems...)
}

// withConfig gives a command the -c flag.
func (a *app) withConfig(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVarP(&a.configPath, "config", "c", "", "configuration file (required)")
	return cmd
}

// load reads the configuration for a command.
func (a *app) load(cmd *cobra.Command, parts need) (*Config, error) {
	if a.configPath == "" {
		return nil, noConfiguration(cmd)
	}
	cfg, err := loadConfig(a.configPath, parts, a.getenv)
	if err != nil {
		return nil, err
	}
	a.cfg = cfg
	return cfg, nil
}

func noConfiguration(cmd *cobra.Command) error {
	return &usageError{cmd.CommandPath(), errors.New("no configuration: give one with -c FILE or TOKENMIGRATE_CONFIG")}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(a.stdout, "tokenmigrate", programVersion())
			return err
		},
	}
}

// programVersion returns the stamped version, else the module's or commit's.
func programVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "devel-" + s.Value[:12]
		}
	}
	return "devel"
}

const rootHelp = `tokenmigrate moves OAuth tokens out of a team's own Postgres into Vercel Connect,
through the bulk import call. It keeps the outcome of every token in a checkpoint
table, so that a run that was stopped or killed is finished by the same command.

  tokenmigrate demo                  see it at work, on a throwaway Postgres
  tokenmigrate init > FILE           look at SOURCE_DATABASE_URL, write a configuration
  tokenmigrate check -c FILE         preflight: configuration, databases, keys, endpoint
  tokenmigrate dry-run -c FILE       rehearse: reads everything, calls and writes nothing
  tokenmigrate run -c FILE           migrate; run it again to resume
  tokenmigrate status -c FILE        where it stands; report and failures tell more
  tokenmigrate explain KEY -c FILE   what became of one row, and why

Every flag can be given as an environment variable: TOKENMIGRATE_ and its name,
such as TOKENMIGRATE_LOG_FORMAT. Credentials are never flags: they stand in the
configuration file as ${NAME} or ${file:/path}.

Exit codes: 0 finished; 1 unexpected error; 3 finished, but more tokens than
policy.max_failed are not imported; 4 the endpoint refuses; 5 a database or the
endpoint is unavailable, try again; 6 another worker is at it; 75 stopped by a
signal, run it again; 78 usage, configuration or privileges.`
