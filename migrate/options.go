package migrate

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/connect"
	"tokenmigrate/migrate/report"
	"tokenmigrate/source"
)

// Options is what a run or a dry run works with. Everything is required but
// where a zero value is explained.
type Options struct {
	Migration   string            // its name in the checkpoint
	Target      map[string]string // what it is between, without secrets; see checkpoint.Migration
	Hashed      map[string]string // parts of the target that may hold secrets: kept as keyed hashes
	Destination string            // host, port and team: enters the fingerprints
	Version     string            // of the program, for the runs table
	Holder      string            // who we are, for the lease; unique to this process
	Dead        func(holder string) bool

	AcceptConfigChange bool
	RetryFailed        bool  // send refused and rejected tokens again, once
	Limit              int64 // stop after so many tokens were handed to calls; 0: no limit
	Shard, Shards      int   // which part of the keys the source was opened for; 0 of 1 (or of 0): all

	RequestsPerMinute float64
	ChunkTokens       int
	ChunkBytes        int
	Concurrency       int
	CallTimeout       time.Duration
	MaxAttempts       int
	OutageWait        time.Duration
	// Credential returns the API credential as it is now; CredentialChanges tells
	// that it lives in a file, where another one may appear.
	Credential        func() connect.Secret
	CredentialChanges bool

	Policy Policy

	// Store tells what the source is read as, for the report, which counts the
	// values in it. The zero Store: a query of the user's own.
	Store report.Store

	// ShowSubjects has the report's failures tell whose token each is, as far as the
	// rows are there.
	ShowSubjects bool

	// Redact is the last line of defence for the text of the error that ends a run,
	// before it is recorded and reported. Nil: nothing is redacted.
	Redact func(string) string
	// Step is called at each step of a call, with its name and the call's number
	// of tokens: before_intent, after_intent, after_call, before_record and
	// after_record. The crash tests kill the process there. It is called by several
	// goroutines. Nil: nobody asks.
	Step func(name string, tokens int)

	// Watch lets others look on. Nil: nobody does. ProgressShown tells that somebody
	// sees the progress through it, so that no lines in the log tell it.
	Watch         *Watch
	ProgressShown bool

	// StallAfter is how long nothing may move while nothing is waited for; 0: 10
	// minutes, or twice CallTimeout where that is more. Stalled is then called, before
	// the run is ended, with the error that it ends with: goroutines that hang may keep
	// Run from ever returning it. Nil: nobody wants to know.
	StallAfter time.Duration
	Stalled    func(error)

	ExitCode func(error) int // the process's exit code for an error of Run; kept in the runs table
	Log      zerolog.Logger

	databaseWait time.Duration    // 0: databaseWait; shorter in tests
	now          func() time.Time // nil: time.Now; tests have a clock that is set
}

// Policy is the configuration's policy section.
type Policy struct {
	SendExpired       bool
	SkipChanged       bool
	InDoubt           InDoubt
	SendDuplicates    bool
	Passes            int
	MaxFailed         func(rows int64) int64 // how many of rows may end failed, invalid or unknown
	StopAfterFailures float64                // share, 0 to 1
}

// InDoubt says what becomes of a token that was sent and whose answer never came.
type InDoubt string

// The policies for tokens in doubt.
const (
	InDoubtSend  InDoubt = "send"  // send it again
	InDoubtFresh InDoubt = "fresh" // only while the access token sent is unexpired, or when its content changed
	InDoubtHold  InDoubt = "hold"  // leave it unknown
)

// How a run can end other than well. Run's errors wrap exactly one of these, a
// *pgerr.Error, a *source.ConfigError, or are unexpected.
var (
	// ErrNotImported: finished, and more tokens than max_failed are not imported.
	ErrNotImported = errors.New("not every token is imported")
	// ErrRefused: the endpoint refuses the credential, every connector, or too
	// much at once; trying again is useless.
	ErrRefused = errors.New("the endpoint refuses")
	// ErrUnavailable: a database or the endpoint stayed unavailable.
	ErrUnavailable = errors.New("unavailable")
	// ErrHeld: another worker holds the shard's lease.
	ErrHeld = errors.New("another worker is at work on this migration")
	// ErrStopped: a signal stopped the run with work left.
	ErrStopped = errors.New("stopped with work left")
	// ErrConfig: the configuration does not fit the checkpoint or the endpoint.
	ErrConfig = errors.New("configuration")
)

// pages is what the pass reads from.
type pages interface {
	CheckKeys(ctx context.Context) error
	Check(ctx context.Context) error
	Page(ctx context.Context, after source.Cursor) (source.Page, error)
	Estimate(ctx context.Context) (int64, error)
}

// rereader reads single rows again, by key.
type rereader interface {
	Rows(ctx context.Context, keys []string) ([]source.Row, error)
}

// importer makes the import call.
type importer interface {
	Import(ctx context.Context, connector string, tokens []connect.Token) (connect.Answer, error)
}

// lookup reads what the checkpoint knows; a checkpoint without the migration is
// an empty one.
type lookup interface {
	Priors(ctx context.Context, migration int64, asked []checkpoint.Asked) ([]checkpoint.Prior, error)
	// PagePriors may leave out what is to be remembered of the page.
	PagePriors(ctx context.Context, migration, run int64, shard, number int, asked []checkpoint.Asked) ([]checkpoint.Prior, *checkpoint.Page, error)
	Owners(ctx context.Context, migration int64, identities []checkpoint.Hash) (checkpoint.Owners, error)
}

// amongOthers is the lookup of a shard, beside which others make calls.
type amongOthers struct{ *checkpoint.Store }

func (a amongOthers) Owners(ctx context.Context, migration int64, identities []checkpoint.Hash) (checkpoint.Owners, error) {
	return a.OwnersShared(ctx, migration, identities)
}

const (
	// maxAge is how old a row may be when it is sent; an older one is read again.
	maxAge = 30 * time.Second
	// settleMargin is added to the call timeout: after both, a call whose worker
	// is gone is certainly over.
	settleMargin = 5 * time.Second
	// heldWait is how long a run waits for another worker's lease.
	heldWait = 2 * time.Minute
	// databaseWait is how long a run waits for a database in its middle.
	databaseWait = 5 * time.Minute
	// credentialWait is how long a refused credential may take to be replaced.
	credentialWait = 2 * time.Minute
	// progressEvery is the time between two progress lines.
	progressEvery = 15 * time.Second
)
