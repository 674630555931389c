package main

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/migrate/connect"
)

// exampleConfig is a complete configuration file: every key, with its default
// and a line on what it does.
//
//go:embed example.yaml
var exampleConfig string

// need says which parts of the configuration file a command uses. A part that
// is not used may be left out, its ${...} are not looked up, and what it holds
// is checked only as far as it is written out.
type need uint8

const (
	needSource      need = 1 << iota // source
	needDestination                  // destination but its token, send, policy
	needCredential                   // destination.token
	needCheckpoint                   // checkpoint

	needAll = needSource | needDestination | needCredential | needCheckpoint
)

// Config is a configuration file that was found good, defaults filled in. What
// belongs to a part that the command does not use may be zero or a default.
// Config must not be copied; its methods are safe for concurrent use.
type Config struct {
	File        string // the file's path, as it was given
	Migration   string // [a-z0-9-]{1,63}
	Source      SourceConfig
	Destination DestinationConfig
	Checkpoint  CheckpointConfig
	Send        SendConfig
	Policy      PolicyConfig
	Warnings    []problem // what is allowed and still worth a word, by line

	mu      sync.Mutex
	token   connect.Secret // the last good credential
	secrets redactor
}

// SourceConfig says what rows to read, and from where.
type SourceConfig struct {
	DB            *pgx.ConnConfig   // connection string and password together; nil if the command needs no source
	Store         string            // a known store's proper name, or "" if Query is given
	Params        map[string]string // the store's parameters; nil if there are none
	Query         string            // or "" if Store is given
	Where         string            // one more condition on the mapped columns, or ""
	PageSize      int               // rows, 1 to 100000
	MissingExpiry MissingExpiry
	Decrypt       map[string]connect.Secret // keys for the store's cipher, by name; nil if there are none
}

// MissingExpiry says how long a token without a known expiry is taken to last.
// A duration of 0 means that such a token is rejected.
type MissingExpiry struct {
	Default    time.Duration
	ByProvider map[string]time.Duration // goes before Default; nil if there are none
	Given      bool                     // the file says so; else it is the store's own that counts
}

// DestinationConfig says where tokens go.
type DestinationConfig struct {
	URL         string            // scheme and host, no slash at the end
	Token       connect.Secret    // the API credential as it was at the start; see Config.Credential
	TokenFile   string            // the file behind Token where that is ${file:...} and nothing else, or ""
	TeamID      string            // at most one of TeamID and Slug is given
	Slug        string            //
	Connector   string            // of every row; at most one of Connector and Connectors is given
	Connectors  map[string]string // by provider; the value skip leaves a provider out
	Environment string            // of rows without one of their own; known to connect.ValidEnvironment
}

// skipConnector, as a value of DestinationConfig.Connectors, leaves a provider out on purpose.
const skipConnector = "skip"

// CheckpointConfig says where the state of the migration is kept.
type CheckpointConfig struct {
	DB     *pgx.ConnConfig // nil if the command needs no checkpoint
	Schema string          // [a-z_][a-z0-9_]{0,62}
}

// SendConfig bounds the calls.
type SendConfig struct {
	RequestsPerMinute int // at least 1
	ChunkTokens       int // 1 to 10000
	ChunkBytes        int // of the request body; at least 256
	Concurrency       int // calls at a time, 1 to 64
	Timeout           time.Duration
	MaxAttempts       int // of one call, at least 1
	OutageWait        time.Duration
}

// PolicyConfig settles what is not clear by itself. The texts are those of the
// file.
type PolicyConfig struct {
	Expired           string // skip, send
	Changed           string // send, skip
	InDoubt           string // send, fresh, hold
	Duplicates        string // reject, send
	Passes            int    // at least 1
	MaxFailed         MaxFailed
	StopAfterFailures Share
}

// loadConfig reads the configuration file at path and checks it. Variables and
// files behind ${...} are looked up only for the parts that need names, getenv
// being os.LookupEnv outside of tests; connection strings are completed from
// PG... variables and files as every Postgres client does.
//
// The error is a *configError that tells all problems at once. Neither it nor
// Config.Warnings ever holds an expanded value, a password or a credential.
func loadConfig(path string, need need, getenv func(string) (string, bool)) (*Config, error) {
	cfg, problems := readConfig(path, need, getenv)
	if len(problems) > 0 {
		return nil, &configError{Problems: problems}
	}
	return cfg, nil
}

// readConfig is loadConfig for who goes on with what is right: beside the
// problems it returns the configuration as far as it could be read.
func readConfig(path string, need need, getenv func(string) (string, bool)) (*Config, []problem) {
	l := &loader{file: path, need: need, getenv: getenv}
	cfg := &Config{File: path}
	if root := l.read(); root != nil {
		l.config(cfg, root)
		l.unknownKeys()
	}
	cfg.Warnings = sortedProblems(l.warnings)
	cfg.token = cfg.Destination.Token
	cfg.secrets.add(l.secrets...)
	return cfg, sortedProblems(l.problems)
}

// config fills cfg from the whole document.
func (l *loader) config(cfg *Config, root *section) {
	if v := root.text("migration"); v.require("name this migration, such as acme-slack") {
		if !migrationName.MatchString(v.text) {
			v.problem("%s is not a migration's name; use 1 to 63 of a-z, 0-9 and -", v.says())
		}
		cfg.Migration = v.text
	}
	expiries := l.source(&cfg.Source, root.child("source", needSource))
	l.destination(&cfg.Destination, root.child("destination", needDestination))
	warnOfStrangers(expiries, cfg.Destination.Connectors)
	l.checkpoint(&cfg.Checkpoint, root.child("checkpoint", needCheckpoint))
	l.send(&cfg.Send, root.child("send", needDestination))
	l.policy(&cfg.Policy, root.child("policy", needDestination))
}

// source also returns the providers of missing_expiry.
func (l *loader) source(c *SourceConfig, s *section) (expiries []*value) {
	c.DB = s.database()
	store, query := s.text("store"), s.text("query")
	where, params, decrypt := s.text("where"), s.entries("params"), s.entries("decrypt")
	switch {
	case store.filled() && query.filled():
		query.problem("is given beside store; keep one of them")
	case store.filled():
		c.Store = knownStore(store, params, decrypt)
	case s.used && store.blank() && query.blank():
		s.problem("has neither query nor store; give a query whose columns are named as the README tells")
	}
	if query.filled() && !store.filled() {
		for _, v := range append(params, decrypt...) {
			v.problem("belongs to a store, and this file has a query; remove it")
		}
	}
	c.Query, c.Where = query.text, where.text
	for _, v := range []*value{query, where} {
		if place := sqlPlaceholder(v.text); place != "" {
			v.problem("has the placeholder %s, which nothing fills in; write the value itself", place)
		}
	}
	for _, v := range params {
		if v.given {
			putEntry(&c.Params, v.name, v.text)
		}
	}
	for _, v := range decrypt {
		v.requireText("give the key")
		v.warnIfLiteral()
		l.secrets = append(l.secrets, v.text)
		putEntry(&c.Decrypt, v.name, connect.NewSecret(v.text))
	}
	c.PageSize = s.integer("page_size", 1000, 1, 100_000)
	c.MissingExpiry, expiries = s.missingExpiry()
	return expiries
}

// warnOfStrangers warns of providers in missing_expiry that have no connector, which
// are probably misspelt.
func warnOfStrangers(expiries []*value, connectors map[string]string) {
	words := slices.Sorted(maps.Keys(connectors))
	for _, v := range expiries {
		switch _, known := connectors[v.name]; {
		case known:
		case nearest(v.name, append(slices.Clone(words), expiryDefault)) == expiryDefault:
			v.warn("names a provider; did you mean %s?", expiryDefault)
		case len(connectors) > 0:
			v.warn("is no provider of destination.connectors, which has %s: only a row that names its own connector takes it", strings.Join(words, ", "))
		}
	}
}

func (l *loader) destination(c *DestinationConfig, s *section) {
	c.URL = s.endpoint("url", "https://api.vercel.com")
	s.credential(c)
	team, slug := s.word("team_id"), s.word("slug")
	if team.filled() && slug.filled() {
		slug.problem("is given beside team_id; keep one of them")
	}
	if team.filled() && !strings.HasPrefix(team.text, "team_") {
		team.warn("does not begin with team_, as a team's id does; if it is the team's name in URLs, give it as slug")
	}
	c.TeamID, c.Slug = team.text, slug.text

	one, byProvider := s.word("connector"), s.entries("connectors")
	if one.filled() && len(byProvider) > 0 {
		one.problem("is given beside connectors; keep connector for every row, or connectors by the row's provider")
	}
	if one.filled() && one.text == skipConnector {
		one.problem("skip would leave out every row; use skip for single providers, in connectors")
	}
	one.checkConnector()
	c.Connector = one.text
	for _, v := range byProvider {
		v.requireText("give a connector, or skip")
		v.checkWord()
		v.checkConnector()
		putEntry(&c.Connectors, v.name, v.text)
	}
	warnOfShared(byProvider)
	if team.blank() && slug.blank() {
		warnOfDefaultTeam(append([]*value{one}, byProvider...))
	}

	env := s.text("environment")
	c.Environment = "production"
	if env.filled() {
		c.Environment = env.text
		if !connect.ValidEnvironment(env.text) {
			env.problem("%s is not an environment; use development, preview, production or the env_... id of a custom one", env.says())
		}
	}
}

func (l *loader) checkpoint(c *CheckpointConfig, s *section) {
	c.DB = s.database()
	c.Schema = "tokenmigrate"
	if v := s.text("schema"); v.filled() {
		c.Schema = v.text
		switch {
		case !schemaName.MatchString(v.text):
			v.problem("%s is not a plain schema name; use 1 to 63 of a-z, 0-9 and _, not beginning with a digit", v.says())
		case len(v.text) > 3 && v.text[:3] == "pg_":
			v.problem("%s begins with pg_, which Postgres keeps for itself; choose another", v.says())
		}
	}
}

func (l *loader) send(c *SendConfig, s *section) {
	c.RequestsPerMinute = s.integer("requests_per_minute", 40, 1, 10_000_000)
	if c.RequestsPerMinute > publishedLimit {
		s.text("requests_per_minute").warn("is above %d, the writes a minute that Connect publishes for a whole team, production included; "+
			"keep it only if your team's limit was raised", publishedLimit)
	}
	c.ChunkTokens = s.integer("chunk_tokens", 100, 1, 10_000)
	c.ChunkBytes = s.size("chunk_bytes", 1<<20, 256, 64<<20)
	c.Concurrency = s.integer("concurrency", 4, 1, 64)
	c.Timeout = s.duration("timeout", time.Minute, 100*time.Millisecond, 10*time.Minute)
	c.MaxAttempts = s.integer("max_attempts", 8, 1, 1000)
	c.OutageWait = s.duration("outage_wait", 10*time.Minute, 100*time.Millisecond, 7*24*time.Hour)
}

// publishedLimit is the number of writes a minute that Connect allows a team.
const publishedLimit = 50

func (l *loader) policy(c *PolicyConfig, s *section) {
	c.Expired = s.choice("expired", "skip", "send")
	c.Changed = s.choice("changed", "send", "skip")
	c.InDoubt = s.choice("in_doubt", "send", "fresh", "hold")
	c.Duplicates = s.choice("duplicates", "reject", "send")
	c.Passes = s.integer("passes", 2, 1, 100)
	c.MaxFailed = s.maxFailed("max_failed")
	c.StopAfterFailures = s.share("stop_after_failures", 20*percent)
}

// putEntry sets a key of a map that is made when it is first needed.
func putEntry[V any](m *map[string]V, key string, v V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[key] = v
}

// Credential returns the API credential. One that lives in a file of its own is
// read again at each call, so that a rotated one is picked up; while the file
// cannot be read or holds no credential, the last good one is returned.
func (c *Config) Credential() connect.Secret {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Destination.TokenFile == "" {
		return c.token
	}
	text, err := readSecretFile(c.Destination.TokenFile)
	if err == nil && credentialText(text) && text != c.token.Reveal() {
		c.token = connect.NewSecret(text)
		c.secrets.add(text)
	}
	return c.token
}

// Redact returns text with every value that came from a variable or a file, and
// every password and credential, replaced by [redacted], also where they stand
// escaped for a URL, for JSON or by %q. Values of fewer than 4 bytes are left:
// they would hit by chance. It is the last line of defence for texts that
// others made; no text of ours relies on it. A nil Config redacts nothing.
func (c *Config) Redact(text string) string {
	if c == nil {
		return text
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.secrets.clean(text)
}

// String keeps a printed Config from spilling connection strings.
func (c *Config) String() string {
	if c == nil {
		return "no configuration"
	}
	return fmt.Sprintf("configuration %s of migration %s", c.File, c.Migration)
}
