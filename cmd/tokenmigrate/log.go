package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

// logger returns the logger that the flags ask for. Whatever it writes passes
// the last line of defence against secrets.
func (a *app) logger(cmd *cobra.Command) (zerolog.Logger, error) {
	level, err := zerolog.ParseLevel(a.logLevel)
	if err != nil || level == zerolog.NoLevel {
		return zerolog.Nop(), &usageError{cmd.CommandPath(), fmt.Errorf("--log-level %q: use trace, debug, info, warn or error", a.logLevel)}
	}
	var w io.Writer = redacting{a.lines, a.cfg}
	switch {
	case a.logsJSON():
	case a.logFormat == "console":
		w = console(w, true)
	case a.logFormat == "auto":
		w = console(w, os.Getenv("NO_COLOR") != "")
	default:
		return zerolog.Nop(), &usageError{cmd.CommandPath(), fmt.Errorf("--log-format %q: use json, console or auto", a.logFormat)}
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger(), nil
}

// logsJSON reports whether the log is lines of JSON.
func (a *app) logsJSON() bool {
	return a.logFormat == "json" || a.logFormat == "auto" && !terminal(a.stderr)
}

func console(w io.Writer, noColor bool) io.Writer {
	return zerolog.ConsoleWriter{Out: w, NoColor: noColor, TimeFormat: time.TimeOnly}
}

// terminal reports whether somebody looks at w.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// redacting writes lines without the secrets of a configuration.
type redacting struct {
	w   io.Writer
	cfg *Config
}

func (r redacting) Write(line []byte) (int, error) {
	if r.cfg == nil {
		return r.w.Write(line)
	}
	if _, err := io.WriteString(r.w, r.cfg.Redact(string(line))); err != nil {
		return 0, err
	}
	return len(line), nil
}
