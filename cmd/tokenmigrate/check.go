package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"tokenmigrate/checkpoint/pgerr"
	"tokenmigrate/migrate"
	"tokenmigrate/migrate/connect"
	"tokenmigrate/source"
)

func (a *app) checkCommand() *cobra.Command {
	var asJSON bool
	cmd := a.withConfig(&cobra.Command{
		Use:   "check -c FILE",
		Short: "Preflight: configuration, both databases, keys, a sample of rows, endpoint",
		Long: `Looks at everything that a run needs and says of each thing whether it is ok, and
where it is not, what to do: the configuration; both databases, how they are
reached and what the roles may do there; how the source is read, its keys and those
of its encryption; a sample of rows, masked; the endpoint, the credential and the
connectors. One thing that is wrong does not keep the others from being looked at.

Nothing is written anywhere, and no import call is made: of the endpoint only the
connectors are read.

Exit codes: 0 nothing failed, warnings aside; 78 something failed that a person
must change; 5 nothing failed but that a database or the endpoint is not there, or too slow.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.newCheckup(cmd, asJSON)
			if err != nil {
				return err
			}
			c.all(cmd.Context())
			if cmd.Context().Err() != nil {
				return fmt.Errorf("%w: the check was interrupted", migrate.ErrStopped)
			}
			return errors.Join(c.finish(), c.verdict())
		},
	})
	cmd.Flags().BoolVar(&asJSON, "json", false, `print JSON: {"version","ok","checks":[{"name","group","status","text","remedy"}]}`)
	return cmd
}

// The groups of checks, in their order.
const (
	groupConfiguration = "configuration"
	groupSource        = "source database"
	groupReading       = "reading"
	groupKeys          = "keys"
	groupSample        = "sample"
	groupCheckpoint    = "checkpoint database"
	groupEndpoint      = "endpoint"
)

// status is how a check ended.
type status string

const (
	statusOK      status = "ok"
	statusWarning status = "warning"
	statusFailed  status = "failed"
)

// finding is what one check found.
type finding struct {
	Name   string `json:"name"`
	Group  string `json:"group"`
	Status status `json:"status"`
	Text   string `json:"text"`
	Remedy string `json:"remedy"`

	away bool // failed, but may be well later without anybody changing anything
	slow bool // away, since a statement took too long
}

// checkup is one round of all checks.
type checkup struct {
	a        *app
	cfg      *Config
	problems []problem // of the configuration
	log      zerolog.Logger
	text     io.Writer // findings as they come; nil: at the end, as JSON

	group    string
	shown    string // the group whose title was printed last
	findings []finding

	// What earlier checks found out for later ones.
	database   string          // the source's, as its server calls it; "" while it is not known
	stored     string          // the tables with the store's tokens; "" while they are not known
	client     *connect.Client // nil where the destination cannot be used
	connectors []string        // of the sample, where the configuration names none

	ownConnectors bool // nearly every row of the sample names a connector of its own
}

func (a *app) newCheckup(cmd *cobra.Command, asJSON bool) (*checkup, error) {
	if a.configPath == "" {
		return nil, noConfiguration(cmd)
	}
	c := &checkup{a: a}
	c.cfg, c.problems = readConfig(a.configPath, needAll, a.getenv)
	a.cfg = c.cfg
	log, err := a.logger(cmd)
	if err != nil {
		return nil, err
	}
	c.log = log
	if log.GetLevel() == zerolog.InfoLevel {
		c.log = log.Level(zerolog.WarnLevel) // the findings say it
	}
	if !asJSON {
		c.text = a.stdout
	}
	return c, nil
}

// all runs every check that can be.
func (c *checkup) all(ctx context.Context) {
	c.configuration()
	c.source(ctx)
	if c.cfg.Destination.URL != "" && !c.broken("destination.url", "destination.team_id", "destination.slug") {
		client, err := newClient(c.cfg, min(c.cfg.Send.Timeout, endpointLimit))
		c.group = groupConfiguration
		if err != nil {
			c.failure("destination", "destination", err)
		} else {
			defer client.Close()
			c.client = client
		}
	}
	c.checkpoint(ctx)
	c.endpoint(ctx)
}

// configuration tells what is wrong with the file, and what it warns of. The
// credential and the team are the endpoint's.
func (c *checkup) configuration() {
	c.group = groupConfiguration
	wrong := 0
	for _, p := range c.problems {
		if p.Key != keyCredential {
			text, remedy := splitRemedy(p.String())
			c.fail("configuration", remedy, "%s", text)
			wrong++
		}
	}
	for _, p := range c.cfg.Warnings {
		if !strings.Contains(p.Text, "default team decides") { // of which team tells
			text, remedy := splitRemedy(p.String())
			c.warn("configuration", remedy, "%s", text)
		}
	}
	if wrong == 0 {
		c.ok("configuration", "%s can be used: migration %s", c.cfg.File, c.cfg.Migration)
	}
}

const keyCredential = "destination.token"

// broken reports whether the configuration has a problem with one of these keys,
// or below it.
func (c *checkup) broken(keys ...string) bool {
	for _, p := range c.problems {
		for _, key := range keys {
			if p.Key == key || strings.HasPrefix(p.Key, key+".") {
				return true
			}
		}
	}
	return false
}

func (c *checkup) ok(name, format string, args ...any) {
	c.add(finding{Name: name, Status: statusOK, Text: fmt.Sprintf(format, args...)})
}

func (c *checkup) warn(name, remedy, format string, args ...any) {
	c.add(finding{Name: name, Status: statusWarning, Text: fmt.Sprintf(format, args...), Remedy: remedy})
}

func (c *checkup) fail(name, remedy, format string, args ...any) {
	c.add(finding{Name: name, Status: statusFailed, Text: fmt.Sprintf(format, args...), Remedy: remedy})
}

// away is fail for what is not there just now.
func (c *checkup) away(name, remedy, format string, args ...any) {
	c.add(finding{Name: name, Status: statusFailed, Text: fmt.Sprintf(format, args...), Remedy: remedy, away: true})
}

// failure tells an error of a database, one line for each problem. section is
// where the configuration speaks of it: source, checkpoint.
func (c *checkup) failure(name, section string, err error) {
	var config *source.ConfigError
	if errors.As(err, &config) {
		for _, problem := range config.Problems {
			text, remedy := splitRemedy(problem)
			c.fail(name, remedy, "%s", text)
		}
		return
	}
	for _, refused := range []error{pgerr.ErrStatementMode, pgerr.ErrStartupParameter} {
		if errors.Is(err, refused) {
			text, remedy := splitRemedy(refused.Error())
			c.fail(name, remedy, "%s", text)
			return
		}
	}
	remedy := connectRemedy(err, section+".url", section+".password")
	switch code := pgerr.CodeOf(err); {
	case pgerr.ClassOf(err) == pgerr.Again && code == "":
		c.away(name, remedy, "%v", err)
		return
	case code == "57014":
		remedy := "see the role's statement_timeout, and whether the server is busy"
		if section == "source" {
			remedy = fmt.Sprintf("an index on what the query calls key and key_2 makes it fast; a run waits %s instead of %s for each statement, and then fails as well", source.DefaultStatementTimeout, checkPatience)
		}
		c.add(finding{Name: name, Status: statusFailed, Text: "this could not be looked at, since it takes too long: " + err.Error(), Remedy: remedy, away: true, slow: true})
		return
	case pgerr.ClassOf(err) == pgerr.Again:
		c.away(name, "try again when the server has recovered", "%v", err)
		return
	case remedy != "":
	case code == "":
		text, told := splitRemedy(err.Error())
		c.fail(name, told, "%s", text)
		return
	default:
		remedy = "correct " + section + ".url"
	}
	c.fail(name, remedy, "%v", err)
}

// connectRemedy says what to do where a database cannot be reached or lets nobody in;
// empty: err is about something else. url and password name what tells where it is,
// and who comes.
func connectRemedy(err error, url, password string) string {
	code := pgerr.CodeOf(err)
	if refused := new(source.ConfigError); errors.As(err, &refused) {
		code = refused.Code
	}
	switch {
	case pgerr.ClassOf(err) == pgerr.Again && code == "":
		return "start the server, or correct host and port in " + url + ", and see that this machine may reach it"
	case strings.HasPrefix(code, "28"):
		return fmt.Sprintf("correct user and password in %s or %s, or let the server's pg_hba.conf admit them", url, password)
	case code == "3D000":
		return "correct the database's name in " + url
	case strings.Contains(err.Error(), "TLS") || strings.Contains(err.Error(), "tls:"):
		return "correct sslmode or sslrootcert in " + url
	}
	return ""
}

// withRemedy adds to the error of connecting to a database what to do, and leaves any
// other as it is. url and password are as in connectRemedy.
func withRemedy(err error, url, password string) error {
	var failed *pgerr.Error
	var refused *source.ConfigError
	switch {
	case errors.As(err, &failed) && strings.HasPrefix(failed.Op, "connect to "):
	case errors.As(err, &refused) && strings.HasPrefix(refused.Op, "connect to "):
	default:
		return err
	}
	if remedy := connectRemedy(err, url, password); remedy != "" {
		return fmt.Errorf("%w; %s", err, remedy)
	}
	return err
}

// remedyAt is where the second part of a sentence of ours begins: what to do.
var remedyAt = regexp.MustCompile(`; |\. [A-Z]`)

// splitRemedy takes a sentence of ours, "what is wrong; what to do" or "What is
// wrong. What to do", apart.
func splitRemedy(sentence string) (text, remedy string) {
	at := remedyAt.FindStringIndex(sentence)
	if at == nil {
		return sentence, ""
	}
	return sentence[:at[0]], strings.TrimLeft(sentence[at[0]:], ";. ")
}

// add notes a finding, and prints it where findings are printed as they come.
func (c *checkup) add(f finding) {
	f.Group = c.group
	for _, text := range []*string{&f.Text, &f.Remedy} {
		*text = oneLine(hidePasswords(c.cfg.Redact(*text)))
	}
	c.findings = append(c.findings, f)
	c.title()
	c.print("  %-8s %s\n", f.Status, f.Text)
	if f.Remedy != "" {
		c.print("           -> %s\n", f.Remedy)
	}
}

// leftOut says what could not be looked at, for a person.
func (c *checkup) leftOut(what string) {
	c.title()
	c.print("           (not looked at: %s)\n", what)
}

// title prints the group's name before its first finding.
func (c *checkup) title() {
	if c.shown == c.group {
		return
	}
	if c.shown != "" {
		c.print("\n")
	}
	c.print("%s\n", c.group)
	c.shown = c.group
}

// print writes to where findings go as they come, if they do.
func (c *checkup) print(format string, args ...any) {
	if c.text != nil {
		fmt.Fprintf(c.text, format, args...)
	}
}

// finish prints the sum of it, or everything as JSON.
func (c *checkup) finish() error {
	count := map[status]int{}
	for _, f := range c.findings {
		count[f.Status]++
	}
	if c.text != nil {
		_, err := fmt.Fprintf(c.text, "\n%d checks: %d ok, %s, %d failed\n", len(c.findings), count[statusOK], plural(int64(count[statusWarning]), "warning"), count[statusFailed])
		return err
	}
	e := json.NewEncoder(c.a.stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Version int       `json:"version"`
		OK      bool      `json:"ok"`
		Checks  []finding `json:"checks"`
	}{1, count[statusFailed] == 0, c.findings})
}

// verdict is nil unless a check failed.
func (c *checkup) verdict() error {
	failed, away, slow := int64(0), int64(0), int64(0)
	for _, f := range c.findings {
		if f.slow {
			slow++
		}
		switch {
		case f.away:
			away++
		case f.Status == statusFailed:
			failed++
		}
	}
	switch {
	case failed > 0:
		return &checkFailed{fmt.Sprintf("%s failed", plural(failed+away, "check")), migrate.ErrConfig}
	case slow > 0 && slow == away:
		return &checkFailed{"a database takes too long over what was to be looked at; nothing else failed", migrate.ErrUnavailable}
	case away > 0:
		return &checkFailed{"a database or the endpoint is not there; nothing else failed", migrate.ErrUnavailable}
	}
	return nil
}

// checkFailed is the end of a check that found something wrong.
type checkFailed struct {
	text string
	kind error // migrate.ErrConfig or migrate.ErrUnavailable
}

func (e *checkFailed) Error() string { return e.text }
func (e *checkFailed) Unwrap() error { return e.kind }
