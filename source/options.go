package source

import (
	"fmt"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"tokenmigrate/migrate/connect"
)

// Defaults of Options, and the bound of one page.
const (
	DefaultPageSize         = 1000
	DefaultStatementTimeout = time.Minute
	DefaultApplicationName  = "tokenmigrate"
	DefaultEnvironment      = "production"

	// PageBytes bounds the row data of one page, whatever the page size; a single
	// larger row is a page of its own.
	PageBytes = 4 << 20
)

// Skip, in Routes.ByProvider, leaves a provider's rows out on purpose.
const Skip = "skip"

// Options say what to read and how to map it. Only Query is required.
type Options struct {
	// Query is a SELECT (also WITH, VALUES or TABLE) whose output columns are named
	// as the package comment lists. A trailing semicolon is fine; parameters ($1)
	// and data-modifying WITH are not. Its ORDER BY has no effect.
	Query string
	// Where is one more condition, over the query's output columns; "" is none.
	Where string

	Routes        Routes
	Environment   string        // of rows without one; "" is DefaultEnvironment
	MissingExpiry MissingExpiry // zero: such rows are invalid, missing_expiry

	PageSize int // rows of one page at most; 0 is DefaultPageSize
	// Shards > 1 reads only the rows of shard Shard (0 <= Shard < Shards): those
	// where hashtextextended(key, 0), over the text that Row.Key holds, is Shard
	// modulo Shards. 0 and 1 read all rows.
	Shard, Shards int

	StatementTimeout time.Duration // of one statement, enforced by the server; 0 is DefaultStatementTimeout
	// ApplicationName is what pg_stat_activity shows, unless the connection's
	// configuration names another; "" is DefaultApplicationName.
	ApplicationName string

	// Open opens what the store encrypted; nil means that all is plain.
	Open Opener
	// LostKeys: rows whose key is gone for good are accepted, as decrypt_failed; see
	// Reader.CheckKeys. That no row opens at all is an error all the same.
	LostKeys bool
	// Skips are the reasons that the query's skip column may hold (NULL: the row is
	// kept), each with the sentence that explains it. Such rows are skipped before
	// anything else is asked of them. Without Skips there is no such column.
	Skips map[Reason]string
	Now   func() time.Time // nil is time.Now
	Log   zerolog.Logger   // the zero Logger writes nothing
}

// Routes choose a row's connector: the row's own connector column where it has
// a value, else Connector, else ByProvider of the row's provider.
type Routes struct {
	Connector  string            // for every row
	ByProvider map[string]string // provider to connector, or to Skip
}

// MissingExpiry says what becomes of a token whose expiry is not known. A
// duration is counted from the moment the row is read; zero makes the row
// invalid, missing_expiry.
type MissingExpiry struct {
	Default    time.Duration
	ByProvider map[string]time.Duration // beats Default, also with zero
}

// forProvider returns the duration for rows of provider; 0 rejects them.
func (m MissingExpiry) forProvider(provider string) time.Duration {
	if d, ok := m.ByProvider[provider]; ok {
		return d
	}
	return m.Default
}

// withDefaults fills zero values in.
func (o Options) withDefaults() Options {
	if o.PageSize == 0 {
		o.PageSize = DefaultPageSize
	}
	if o.StatementTimeout == 0 {
		o.StatementTimeout = DefaultStatementTimeout
	}
	if o.ApplicationName == "" {
		o.ApplicationName = DefaultApplicationName
	}
	if o.Environment == "" {
		o.Environment = DefaultEnvironment
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// problems lists what is wrong with the options themselves, after withDefaults.
func (o Options) problems() []string {
	var list []string
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if trimSQL(o.Query) == "" {
		add("query: it is empty; write a SELECT whose columns are named as the rows are mapped")
	}
	if o.PageSize < 1 {
		add("page size %d: it must be at least 1", o.PageSize)
	}
	if o.Shards < 0 || o.Shards > 1 && (o.Shard < 0 || o.Shard >= o.Shards) {
		add("shard %d of %d: it must be 0 to one less than the number of shards", o.Shard, o.Shards)
	}
	if o.StatementTimeout < time.Millisecond {
		add("statement timeout %s: it must be at least 1ms", o.StatementTimeout)
	}
	for _, reason := range o.skipNames() {
		if !reason.Skipped() {
			add("skip reason %q: it is the name of another reason", reason)
		}
	}
	if !connect.ValidEnvironment(o.Environment) {
		add("environment %q: use development, preview, production or env_...", o.Environment)
	}
	if o.MissingExpiry.Default < 0 {
		add("missing expiry %s: it must not be negative", o.MissingExpiry.Default)
	}
	for provider, d := range o.MissingExpiry.ByProvider {
		if d < 0 {
			add("missing expiry of %s, %s: it must not be negative", provider, d)
		}
	}
	return list
}

// ConfigError says that the source cannot be read as configured: a query that
// the server refuses, missing privileges, wrong columns, keys that cannot carry
// a walk. The same call fails again until somebody changes something (exit code
// 78). It holds no credential and no row's value but keys.
type ConfigError struct {
	Op       string   // what was being done: "look at the columns"
	Problems []string // at least one; each a sentence with its place and remedy
	Code     string   // the SQLSTATE of the server's refusal; "" where we refuse
}

// Error returns one line for one problem, and a list for several.
func (e *ConfigError) Error() string {
	if len(e.Problems) == 1 {
		return e.Op + ": " + e.Problems[0]
	}
	return fmt.Sprintf("%s: %d problems:\n  - %s", e.Op, len(e.Problems), strings.Join(e.Problems, "\n  - "))
}
