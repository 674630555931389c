package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"tokenmigrate/migrate/connect/sandbox"
)

// newSandboxCommand returns the command that serves the stand-in of the import
// endpoint until its context ends. Stdout gets one line, "listening on URL",
// once it is ready, and at the end the audit's summary as JSON. Stderr gets one
// log line a call where the root's --log-level is debug or trace.
func newSandboxCommand(version string) *cobra.Command {
	f := sandboxFlags{addr: "127.0.0.1:8787"}
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Serve a stand-in of the import endpoint that can misbehave",
		Long: `Serves a stand-in of the import endpoint, for rehearsals: as strict as the real
one, with its rate limit, and with the faults that are asked for. It keeps what
it was sent in memory, credentials as SHA-256 only, and tells what arrived:

  GET /audit           calls by status, tokens imported, imported more than once
  GET /audit?keys=1    the subjects too, and how often each was imported

The same summary is printed when it ends. Point destination.url of a
configuration at it; any destination.token will do, unless --credential-env.`,
		Example: `  tokenmigrate sandbox
  tokenmigrate sandbox --limit 0 --refuse 1% --fault 504+import=3% --fault reset-after-import=3%
  tokenmigrate sandbox --fault silent-limit:120 --fault shuffled=1/3 --fault 503:2=#5,#6`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts, err := f.options()
			if err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			if opts.Log, err = sandboxLog(cmd, version); err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			return serveSandbox(cmd, f.addr, opts)
		},
	}
	f.register(cmd)
	return cmd
}

// serveSandbox serves until the command's context ends.
//
// Errors: a *usageError where the address cannot be had.
func serveSandbox(cmd *cobra.Command, addr string, opts sandbox.Options) error {
	ctx, stdout := cmd.Context(), cmd.OutOrStdout()
	s := sandbox.New(opts)
	defer s.Close()
	url, err := s.Start(addr)
	if err != nil {
		return &usageError{cmd.CommandPath(), err}
	}
	if _, err := fmt.Fprintln(stdout, "listening on", url); err != nil {
		return fmt.Errorf("print the sandbox's address: %w", err)
	}
	<-ctx.Done()
	s.Close() // whatever was on its way has ended when the summary is taken
	e := json.NewEncoder(stdout)
	e.SetIndent("", "  ")
	if err := e.Encode(s.Summary()); err != nil {
		return fmt.Errorf("print the sandbox's audit: %w", err)
	}
	return nil
}

// sandboxFlags are the command's flags.
type sandboxFlags struct {
	addr          string
	credentialEnv string
	audit         string
	opts          sandbox.Options
}

func (f *sandboxFlags) register(cmd *cobra.Command) {
	fs, o := cmd.Flags(), &f.opts
	fs.Var(parsed("HOST:PORT", f.addr, func(text string) error {
		f.addr = text
		return sandbox.CheckAddr(text)
	}), "addr", "where to listen: a loopback address; port 0 takes a free one")
	fs.StringVar(&f.credentialEnv, "credential-env", "", "environment `variable` that holds the one bearer accepted (default: any bearer is)")
	fs.StringArrayVar(&o.Connectors, "connector", nil, "a connector that exists, by uid or id; may be repeated (default: all exist)")
	fs.IntVar(&o.Limit, "limit", 50, "import calls a team may make in each window; 0: any number")
	fs.DurationVar(&o.Window, "window", 0, "length of the fixed windows of --limit (default 1m)")
	fs.Float64Var(&o.BucketPerSecond, "hidden-limit", 0, "calls a second of a further limit that answers say nothing of; 0: none")
	fs.IntVar(&o.BucketBurst, "hidden-burst", 0, "calls that --hidden-limit lets through at once (default: one second's)")
	fs.DurationVar(&o.Latency, "latency", 0, "time that every answer takes")
	fs.DurationVar(&o.Jitter, "jitter", 0, "random time, up to this, that answers take beyond --latency")
	fs.IntVar(&o.MaxTokens, "max-tokens", 0, "tokens a call, above which it is answered 413; 0: any number")
	fs.Int64Var(&o.MaxBytes, "max-bytes", 0, "bytes a call, above which it is answered 413 (default 4500000)")
	fs.Var(share(&o.RefuseShare), "refuse", "share of tokens answered succeeded: false, such as 1%")
	fs.StringArrayVar(&o.RefuseSubjects, "refuse-subject", nil, "a subject `id` whose tokens are answered succeeded: false; may be repeated")
	fs.Var(share(&o.RejectShare), "reject", "share of tokens that make their whole call a 400, such as 0.1%")
	fs.StringArrayVar(&o.RejectSubjects, "reject-subject", nil, "a subject `id` whose tokens make their whole call a 400; may be repeated")
	fs.Var(parsed("NAME[=CALLS]", "", func(text string) error {
		fault, err := sandbox.ParseFault(text)
		o.Faults = append(o.Faults, fault)
		return err
	}), "fault", faultUsage)
	fs.Int64Var(&o.Seed, "seed", 1, "seed of all that is random; the same seed and order of calls play alike")
	fs.StringVar(&f.audit, "audit", "hashes", "what is remembered of each call: hashes (of its credentials), or off (counts alone, for millions of tokens)")
}

var faultUsage = "a fault to play; may be repeated. CALLS is 3% (a share), 1/5 (each fifth), #7 (the seventh), or several with commas;\n" +
	"without it the fault falls to every call. NAME is one of:\n" + strings.TrimRight(sandbox.FaultHelp(), "\n")

// options returns the options that the flags describe.
func (f *sandboxFlags) options() (sandbox.Options, error) {
	o := f.opts
	o.Faults = slices.Clone(o.Faults)
	switch f.audit {
	case "hashes":
		o.Audit = sandbox.AuditHashes
	case "off":
		o.Audit = sandbox.AuditOff
	default:
		return o, fmt.Errorf("--audit: %q is neither hashes nor off", f.audit)
	}
	if f.credentialEnv != "" {
		o.Credential = os.Getenv(f.credentialEnv)
		if o.Credential == "" {
			// The value of a mistaken flag may be the credential itself.
			return o, errors.New("--credential-env: the environment variable it names is empty or not set; export it, or leave the flag out to accept any bearer")
		}
	}
	return o, o.Validate()
}

// sandboxLog returns a logger at the level and in the format of the root
// command's flags; without these it is silent.
func sandboxLog(cmd *cobra.Command, version string) (zerolog.Logger, error) {
	text := func(flag string) string {
		if f := cmd.Flag(flag); f != nil {
			return f.Value.String()
		}
		return ""
	}
	level, err := zerolog.ParseLevel(text("log-level"))
	if err != nil {
		return zerolog.Nop(), fmt.Errorf("--log-level %q: use trace, debug, info, warn or error", text("log-level"))
	}
	out := cmd.ErrOrStderr()
	if format := text("log-format"); format == "console" || format == "auto" && terminal(out) {
		out = console(out, os.Getenv("NO_COLOR") != "")
	}
	return zerolog.New(zerolog.SyncWriter(out)).Level(level).With().Timestamp().Str("version", version).Logger(), nil
}

// flagValue is a flag whose text is checked while flags are parsed, so that a
// bad one is told with the flag's name.
type flagValue struct {
	kind, text string
	set        func(string) error
}

func parsed(kind, text string, set func(string) error) *flagValue {
	return &flagValue{kind, text, set}
}

// share is a flag that takes a percentage, or a number from 0 to 1.
func share(to *float64) *flagValue {
	return parsed("SHARE", "", func(text string) error {
		number, percent := strings.CutSuffix(text, "%")
		v, err := strconv.ParseFloat(number, 64)
		if percent {
			v /= 100
		}
		if err != nil || !(v >= 0 && v <= 1) {
			return fmt.Errorf("%q is no share; write a percentage such as 1%%", text)
		}
		*to = v
		return nil
	})
}

// Set, String and Type make it a pflag.Value.
func (v *flagValue) Set(text string) error {
	v.text = text
	return v.set(text)
}

func (v *flagValue) String() string { return v.text }

func (v *flagValue) Type() string { return v.kind }
