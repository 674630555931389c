package sandbox

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/rs/zerolog"
)

// AuditLevel says how much a Server remembers of the calls it saw.
type AuditLevel uint8

// The levels of audit.
const (
	// AuditHashes keeps every call with its tokens, credentials as SHA-256:
	// about 600 bytes a token.
	AuditHashes AuditLevel = iota
	// AuditFull keeps the credentials in clear as well.
	AuditFull
	// AuditOff keeps counts alone: Calls and Imported are empty, and Summary's
	// Distinct tells identities apart by a hash of 64 bits. About 40 bytes an
	// identity; for benchmarks and for sources of millions of rows.
	AuditOff
)

// Options describe a stand-in. The zero Options are an endpoint that knows
// every connector, accepts any credential, limits nothing and never fails.
type Options struct {
	Credential string // the bearer wanted; empty: any that is not empty

	// Connectors that exist, by uid or id; empty: all. Calls to others are
	// answered 404, to those in Forbidden 403, to those in Gone 410.
	Connectors, Forbidden, Gone []string

	// Limit is how many import calls a team may make in each Window; 0: any
	// number. Windows are fixed: of one minute where Window is 0, aligned to
	// the clock. A team is the teamId or slug of the query; calls without
	// either are one more team. Refused calls do not count.
	Limit  int
	Window time.Duration
	Tell   Tell // how a 429 says how long to wait; 0: TellDocumented

	// BucketPerSecond is a second limit, of which answers say nothing: a
	// token bucket refilled so many times a second, of BucketBurst calls; a
	// burst of 0 means one second's worth, at least 1. 0: no such limit.
	BucketPerSecond float64
	BucketBurst     int

	// Every import call that passes validation waits for Latency, and a random
	// part of Jitter, between the import and the answer: a client that gives up
	// meanwhile has its tokens imported.
	Latency, Jitter time.Duration

	MaxTokens int   // 413 for calls of more tokens; 0: any number
	MaxBytes  int64 // 413 for bodies of more bytes; 0: 4.5 MB

	// Tokens answered succeeded: false, and not imported: those that Refuse
	// reports, those of these subject ids, and a share of all identities, 0 to
	// 1, the same ones for the same Seed in whatever call they come.
	Refuse         func(Token) bool
	RefuseSubjects []string
	RefuseShare    float64

	// Tokens that make their whole call fail with RejectStatus, 400 where it
	// is 0; chosen as those refused are. The message names the first one by
	// its place in the call.
	Reject         func(Token) bool
	RejectSubjects []string
	RejectShare    float64
	RejectStatus   int

	Faults []Fault
	Seed   int64 // of all that is random

	Audit AuditLevel
	// Now is the clock of the limits, the Date header and the audit; nil:
	// time.Now. Delays are real in any case.
	Now func() time.Time
	// Log gets one event a call, at debug level. The zero Logger is silent.
	// No credential is logged.
	Log zerolog.Logger
}

// Defaults and limits of Options.
const (
	defaultWindow   = time.Minute
	defaultMaxBytes = 4_500_000
	defaultSlow     = 2 * time.Second
	defaultLarge    = 100 << 20
	maxDrain        = 64 << 20 // bytes of a body that are read although nobody wants them
)

// Validate reports everything in o that no server can play, joined.
func (o Options) Validate() error {
	var errs []error
	wrong := func(format string, a ...any) { errs = append(errs, fmt.Errorf("sandbox: "+format, a...)) }
	for name, share := range map[string]float64{"refuse": o.RefuseShare, "reject": o.RejectShare} {
		if !(share >= 0 && share <= 1) {
			wrong("the share of tokens to %s is %v, not between 0 and 1", name, share)
		}
	}
	if o.RejectStatus != 0 && (o.RejectStatus < 400 || o.RejectStatus > 499) {
		wrong("the status of rejected calls is %d, not between 400 and 499", o.RejectStatus)
	}
	if o.Limit < 0 || o.Window < 0 || o.BucketBurst < 0 || o.MaxTokens < 0 || o.MaxBytes < 0 || o.Latency < 0 || o.Jitter < 0 ||
		!(o.BucketPerSecond >= 0) || math.IsInf(o.BucketPerSecond, 0) {
		wrong("a limit or duration is negative or not a number")
	}
	if err := validateFaults(o.Faults); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func validateFaults(faults []Fault) error {
	var errs []error
	sum := 0.0
	for _, f := range faults {
		if err := f.validate(); err != nil {
			errs = append(errs, fmt.Errorf("sandbox: fault %s: %w", f, err))
		}
		if info, _ := infoOf(f.Kind); !info.shape {
			sum += f.Share
		}
	}
	if sum > 1+1e-9 {
		errs = append(errs, fmt.Errorf("sandbox: the shares of faults that end a call add up to %.4g%%, more than all calls", sum*100))
	}
	return errors.Join(errs...)
}

// withDefaults fills in what zero means, and copies what the caller might
// change.
func (o Options) withDefaults() Options {
	if o.Window == 0 {
		o.Window = defaultWindow
	}
	if o.Tell == 0 {
		o.Tell = TellDocumented
	}
	if o.BucketBurst == 0 {
		o.BucketBurst = max(1, int(math.Ceil(o.BucketPerSecond)))
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.RejectStatus == 0 {
		o.RejectStatus = 400
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	for _, list := range []*[]string{&o.Connectors, &o.Forbidden, &o.Gone, &o.RefuseSubjects, &o.RejectSubjects} {
		*list = slices.Clone(*list)
	}
	return o
}

// refuses reports whether the token is answered succeeded: false.
func (o *Options) refuses(t *Token) bool {
	return slices.Contains(o.RefuseSubjects, t.Subject.ID) ||
		o.RefuseShare > 0 && lot(t, o.Seed, "refuse") < o.RefuseShare ||
		o.Refuse != nil && o.Refuse(*t)
}

// rejects reports whether the token makes its whole call fail.
func (o *Options) rejects(t *Token) bool {
	return slices.Contains(o.RejectSubjects, t.Subject.ID) ||
		o.RejectShare > 0 && lot(t, o.Seed, "reject") < o.RejectShare ||
		o.Reject != nil && o.Reject(*t)
}
