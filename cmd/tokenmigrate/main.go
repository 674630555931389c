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
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tokenmigrate/checkpoint/pgerr"
	"tokenmigrate/migrate/report"
)

func main() {
	// net/http reports oddities of a connection through the standard logger, with
	// up to 4 KiB of what the server sent, which may echo a credential.
	log.SetOutput(io.Discard)
	leaveHeap := tendHeap()
	drain, cut, stop := signals()
	code := run(drain, cut, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr)
	stop()
	leaveHeap()
	atExit()
	os.Exit(code)
}

// atExit is set in binaries that are built to be measured.
var atExit = func() {}

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
	args           []string
	cut            context.Context // ended by the second signal
	getenv         func(string) (string, bool)
	exit           func(code int) // of the process, where it cannot end in order
	stdout, stderr io.Writer

	configPath string
	logFormat  string
	logLevel   string

	lines *lines          // stderr, for whole lines: logs
	log   *zerolog.Logger // of a run or dry run that logs lines of JSON, once it has begun
	cfg   *Config         // once loaded
	ended *report.Report  // of a run or dry run, once it is over
}

// run executes one command line and returns the process's exit code. The end of
// drain asks a migration to finish what is in flight; the end of cut does not.
func run(drain, cut context.Context, args []string, getenv func(string) (string, bool), stdout, stderr io.Writer) int {
	a := &app{args: args, cut: cut, getenv: getenv, exit: os.Exit, stdout: stdout, stderr: stderr, lines: &lines{w: stderr}}
	root := a.command()
	root.SetArgs(args)
	err := root.ExecuteContext(drain)
	if err != nil {
		a.printError(err)
	}
	a.writeEnding(err)
	return exitCode(err)
}

// printError tells an error on stderr, one line for each problem, through the
// last line of defence against secrets. Where the command wrote its log as JSON,
// these are lines of it: whoever collects them must not lose the one that matters.
func (a *app) printError(err error) {
	text := hidePasswords(a.cfg.Redact(err.Error()))
	if a.cfg != nil && a.configPath != "" && pgerr.CodeOf(err) == "42501" && !strings.Contains(text, "\n") {
		text += "; `tokenmigrate check -c " + a.configPath + "` tells which privileges are missing"
	}
	var usage *usageError
	isUsage := errors.As(err, &usage)
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\n"); a.log != nil && !isUsage {
			a.log.Error().Int("exit_code", exitCode(err)).Msg(line)
		} else {
			fmt.Fprintln(a.stderr, "tokenmigrate:", line)
		}
	}
	if isUsage {
		fmt.Fprintf(a.stderr, "tokenmigrate: see `%s --help`\n", usage.command)
	}
}

// What is put where no connection string is expected, and quoted in a complaint,
// is no secret of the configuration's.
var (
	urlPassword     = regexp.MustCompile(`(://[^\s:/@]*:)\S*@`)
	keywordPassword = regexp.MustCompile(`(?i)(password\s*=\s*)('[^']*'|[^\s&"']+)`)
)

// hidePasswords takes the passwords out of connection strings in a text.
func hidePasswords(text string) string {
	return keywordPassword.ReplaceAllString(urlPassword.ReplaceAllString(text, "${1}[redacted]@"), "${1}[redacted]")
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
			if err := misspelt(cmd, os.Environ()); err != nil {
				return err
			}
			return fromEnvironment(cmd, a.getenv)
		},
	}
	root.PersistentFlags().StringVar(&a.logFormat, "log-format", "auto", "json, console, or auto: console on a terminal")
	root.PersistentFlags().StringVar(&a.logLevel, "log-level", "info", "trace, debug, info, warn or error")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if cmd == root { // which has no flags to speak of: it is the command that is unknown
			for _, arg := range a.args {
				if known, _, _ := root.Find([]string{arg}); !strings.HasPrefix(arg, "-") && known == root {
					return &usageError{cmd.CommandPath(), noArguments(root, []string{arg})}
				}
			}
		}
		return &usageError{cmd.CommandPath(), unknownFlag(cmd, badFlag("", err))}
	})
	root.AddCommand(a.runCommand(), a.dryRunCommand(), a.statusCommand(), a.reportCommand(), a.failuresCommand(), a.explainCommand(),
		a.pauseCommand("pause", true, "Let running and later workers make no calls", "paused; workers stop calling within 5 seconds"),
		a.pauseCommand("resume", false, "Undo a pause: let workers make calls again; starts none", "goes on within 5 seconds"), a.paceCommand(),
		a.initCommand(), a.storesCommand(), a.checkCommand(), a.checkpointCommand(), newSandboxCommand(programVersion()), a.demoCommand(), a.versionCommand())
	root.SetOut(a.stdout) // before what follows, which keeps it
	root.SetErr(a.stderr)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd("completion")
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "help":
			cmd.Args = helpTopic
		case "completion": // which by itself runs nothing, so that no one would look at its arguments
			cmd.Args, cmd.RunE = nil, func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
		wrapArgs(cmd)
	}
	wrapArgs(root)
	return root
}

// helpTopic refuses to help with what is no command.
func helpTopic(help *cobra.Command, args []string) error {
	cmd, rest, _ := help.Root().Find(args)
	if len(rest) == 0 || !cmd.HasAvailableSubCommands() {
		return nil
	}
	return noArguments(cmd, rest)
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

// givenBy annotates a flag with the environment variable that gave it its value.
const givenBy = "environment"

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
			problems = append(problems, &usageError{cmd.CommandPath(), badFlag(name, err)})
		} else {
			_ = cmd.Flags().SetAnnotation(f.Name, givenBy, []string{name})
		}
	})
	return errors.Join(problems...)
}

// badFlag says what is wrong with a flag's value without the words of Go's
// parsers. name is that of its environment variable; "": the flag's own.
func badFlag(name string, err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	if name == "" {
		name = "--" + invalid.GetFlag().Name
	}
	expected, ok := map[string]string{
		"bool": "true or false", "int": "a whole number", "int64": "a whole number", "float64": "a number", "duration": "a duration such as 90s",
	}[invalid.GetFlag().Value.Type()]
	if !ok {
		return fmt.Errorf("%s: %w", name, errors.Unwrap(invalid))
	}
	return fmt.Errorf("%s: %q is not %s", name, invalid.GetValue(), expected)
}

// unknownFlag adds to the error about a flag that there is not which one may have been
// meant.
func unknownFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || len(unknown.GetSpecifiedName()) < 2 {
		return err
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if near := nearest(unknown.GetSpecifiedName(), names); near != "" {
		return fmt.Errorf("%w; did you mean --%s?", err, near)
	}
	return err
}

// otherVariables begin the names of variables that are for no flag: those of the
// tests, and those that Kubernetes sets for a Service of this name.
var otherVariables = []string{"TEST_", "CRASH_", "E2E_", "MODEL_", "SHARD", "PORT", "SERVICE_"}

// misspelt finds variables of the environment that look like a flag's and are
// none's: nobody would notice that they do nothing.
func misspelt(cmd *cobra.Command, environment []string) error {
	const prefix = "TOKENMIGRATE_"
	known := map[string]bool{}
	var names []string
	var add func(*cobra.Command)
	add = func(c *cobra.Command) {
		for _, set := range []*pflag.FlagSet{c.Flags(), c.PersistentFlags()} {
			set.VisitAll(func(f *pflag.Flag) {
				name := strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
				if known[name] = true; f.Name != "help" {
					names = append(names, strings.ToLower(name))
				}
			})
		}
		for _, sub := range c.Commands() {
			add(sub)
		}
	}
	add(cmd.Root())
	var problems []error
	for _, pair := range environment {
		name, _, _ := strings.Cut(pair, "=")
		rest, ours := strings.CutPrefix(name, prefix)
		if !ours || known[rest] || slices.ContainsFunc(otherVariables, func(begin string) bool { return strings.HasPrefix(rest, begin) }) {
			continue
		}
		near := nearest(rest, names)
		if d := editDistance(strings.ToLower(rest), near); near != "" && d <= 2 && 3*d <= len(rest) {
			problems = append(problems, &usageError{cmd.CommandPath(), fmt.Errorf("%s is no flag's variable; did you mean %s?", name, prefix+strings.ToUpper(near))})
		}
	}
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

Exit codes: 0 finished, or --limit reached; 1 unexpected error; 3 finished, but
more tokens than policy.max_failed are not imported; 4 the endpoint refuses; 5 a
database or the endpoint is unavailable, try again; 6 another worker is at it; 75
stopped by a signal, run it again; 78 usage, configuration or privileges.`
