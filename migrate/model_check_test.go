package migrate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/connect"
	"tokenmigrate/migrate/connect/sandbox"
	"tokenmigrate/migrate/report"
)

// fate is what a worker must have made of one token of one call.
type fate string

const (
	taken   fate = "yes"     // it was told: imported
	refused fate = "no"      // it was told: not imported
	unnamed fate = "unnamed" // it was told of others, or unreadably
	lost    fate = "lost"    // it was told nothing: in doubt
	whole   fate = "whole"   // the call as a whole was refused or put off
	unsure  fate = "unsure"  // any of these: the answer came late, or the run was cut short
)

// send is one token of one call.
type send struct {
	*content
	run, call int
	at        time.Time
	status    int
	faults    []string
	imported  bool
	answered  sandbox.Verdict
	fate      fate
}

func (s send) String() string {
	return fmt.Sprintf("run %d call %d %s: status %d faults %v, imported %v, answered %s: %s", s.run, s.call, s.id, s.status, s.faults, s.imported, s.answered, s.fate)
}

// tokenRow is a row of the table tokens.
type tokenRow struct {
	Key, Connector, Outcome, Reason, Detail string
	Succeeded                               *bool
	Fingerprint, Identity, Imported         []byte
	Attempts                                int
	Superseded                              bool
}

// violation is an invariant that does not hold for one key, or for "".
type violation struct{ key, text string }

func (v *violation) Error() string { return v.text + " (key " + v.key + ")" }

func violated(key, format string, args ...any) error {
	return &violation{key, fmt.Sprintf(format, args...)}
}

// lateCalls counts, from a run's log, the calls whose time ended: on a busy
// machine the audit alone does not tell them.
type lateCalls struct {
	mu sync.Mutex
	n  int
}

func (l *lateCalls) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("import call")) && bytes.Contains(line, []byte("the call's time of")) {
		l.mu.Lock()
		l.n++
		l.mu.Unlock()
	}
	return len(line), nil
}

func (l *lateCalls) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

// modelCheck compares the endpoint's audit, the checkpoint and the reports of
// one model.
type modelCheck struct {
	*model
	policy Policy
	runs   int
	calls  int               // of the audit that were looked at
	late   int               // calls that were, before the run
	unseen bool              // of a call of the run the endpoint saw no token
	sends  map[string][]send // by key, in order

	// As the run began.
	tokens   map[string]tokenRow
	standing map[string]bool // keys of intents
	ceiling  int             // 0: none
}

// begin notes how things stand before a run.
func (k *modelCheck) begin(ctx context.Context) (err error) {
	k.src.watch()
	k.runs++
	k.late = k.model.late.count()
	if k.sends == nil {
		k.sends = map[string][]send{}
	}
	k.tokens, k.standing, k.ceiling, err = k.checkpoint(ctx)
	return err
}

// checkpoint reads what the checkpoint holds; nothing where it does not exist.
func (k *modelCheck) checkpoint(ctx context.Context) (tokens map[string]tokenRow, standing map[string]bool, ceiling int, err error) {
	tokens, standing = map[string]tokenRow{}, map[string]bool{}
	var exists bool
	if err := k.db.QueryRow(ctx, `SELECT to_regclass('tokenmigrate.paces') IS NOT NULL`).Scan(&exists); err != nil || !exists {
		return tokens, standing, 0, err
	}
	rows, err := query(ctx, k.db, pgx.RowToStructByPos[tokenRow], `SELECT key, coalesce(connector, ''), outcome, coalesce(reason, ''),
		coalesce(detail, ''), succeeded, fingerprint, identity, imported_fingerprint, attempts, superseded IS TRUE FROM tokenmigrate.tokens`)
	if err != nil {
		return nil, nil, 0, err
	}
	for _, row := range rows {
		tokens[row.Key] = row
	}
	keys, err := query(ctx, k.db, pgx.RowTo[string], `SELECT unnest(keys) FROM tokenmigrate.calls`)
	if err != nil {
		return nil, nil, 0, err
	}
	for _, key := range keys {
		standing[key] = true
	}
	ceilings, err := query(ctx, k.db, pgx.RowTo[int], `SELECT coalesce(chunk_ceiling, 0) FROM tokenmigrate.migrations`)
	if len(ceilings) > 0 {
		ceiling = ceilings[0]
	}
	return tokens, standing, ceiling, err
}

// hashes takes fingerprints and identities as the migration does.
type hashes struct {
	h             *hasher
	missingExpiry time.Duration
}

func (h hashes) fingerprint(c *content) []byte {
	row := c.row(h.missingExpiry)
	hash, _ := h.h.fingerprint(&row)
	return hash[:]
}

func (h hashes) identity(c *content) []byte {
	row := c.row(h.missingExpiry)
	hash := h.h.identity(&row)
	return hash[:]
}

// hashes returns what hashes as the migration does; begun tells whether there
// is a migration.
func (k *modelCheck) hashes(ctx context.Context) (h hashes, begun bool, err error) {
	var exists bool
	if err := k.db.QueryRow(ctx, `SELECT to_regclass('tokenmigrate.paces') IS NOT NULL`).Scan(&exists); err != nil || !exists {
		return hashes{}, false, err
	}
	keys, err := query(ctx, k.db, pgx.RowTo[[]byte], `SELECT fingerprint_key FROM tokenmigrate.migrations`)
	if err != nil || len(keys) == 0 {
		return hashes{}, false, err
	}
	return hashes{newHasher(keys[0], strings.TrimPrefix(k.end.url, "http://")), k.src.missingExpiry}, true, nil
}

// run checks a run that is over. static: nothing changed in the source
// meanwhile; cut: it was cut short like a crash.
func (k *modelCheck) run(ctx context.Context, r *report.Report, ended error, static, cut bool) error {
	if code := testExitCode(ended); code == 1 || code == 6 {
		return fmt.Errorf("the run ended with %w", ended)
	}
	tokens, standing, _, err := k.checkpoint(ctx)
	if err != nil {
		return err
	}
	h, begun, err := k.hashes(ctx)
	if err != nil || !begun {
		return err
	}
	from := k.calls
	if err := k.wire(standing, h); err != nil {
		return err
	}
	if err := k.carried(r, from); err != nil {
		return err
	}
	if err := k.reportedAgain(ctx, r, tokens, standing, cut); err != nil {
		return err
	}
	if err := k.recorded(tokens, standing, h); err != nil {
		return err
	}
	for _, key := range sortedKeys(standing) {
		if !cut && !k.standing[key] {
			return violated(key, "an intent stands after a run that was not cut short")
		}
	}
	return k.reported(ctx, r, ended, tokens, standing, static)
}

// wire checks the calls of the run.
func (k *modelCheck) wire(standing map[string]bool, h hashes) error {
	calls := k.end.Audit().Calls
	from := k.calls
	k.calls = len(calls)
	expected := 0
	for _, c := range calls[from:] {
		if slices.ContainsFunc(c.Faults, func(f string) bool { return strings.HasPrefix(f, "hang") || strings.HasPrefix(f, "slow-body") }) {
			expected++
		}
	}
	busy := k.model.late.count()-k.late > expected
	k.unseen = slices.ContainsFunc(calls[from:], func(c sandbox.Call) bool { return len(c.Tokens) == 0 && (c.Status == 0 || c.Status >= 500) })
	first := map[string]bool{}
	for i := range calls[from:] {
		c := &calls[from+i]
		if err := k.call(c); err != nil {
			return err
		}
		for j := range c.Tokens {
			s := send{content: k.src.byID(c.Tokens[j].ExternalSubject), run: k.runs, call: c.Number, at: c.At, status: c.Status,
				faults: c.Faults, imported: c.Tokens[j].Imported, answered: c.Tokens[j].Answered, fate: fateOf(c, &c.Tokens[j])}
			if busy && s.fate != whole {
				s.fate = unsure
			}
			if !first[s.key] {
				first[s.key] = true
				was := k.tokens[s.key]
				again := k.standing[s.key] || k.overtaken(s) || k.mayDiffer(s.key)
				if was.Outcome == string(checkpoint.Imported) && !again && bytes.Equal(was.Imported, h.fingerprint(s.content)) {
					return violated(s.key, "call %d carries what was recorded as imported before the run: %s", c.Number, s)
				}
			}
			if err := k.again(s); err != nil {
				return err
			}
			k.sends[s.key] = append(k.sends[s.key], s)
		}
	}
	for key := range standing { // nobody knows what the worker was told
		if n := len(k.sends[key]); n > 0 && k.sends[key][n-1].run == k.runs {
			k.sends[key][n-1].fate = unsure
		}
	}
	return nil
}

// mayDiffer tells that the last content that the run sent of a key may be another one
// than the endpoint saw last.
func (k *modelCheck) mayDiffer(key string) bool { return k.unseen && k.src.changed(key) }

// call checks what one call carried.
func (k *modelCheck) call(c *sandbox.Call) error {
	o := &k.worker.o
	if n := len(c.Tokens); n > o.ChunkTokens || k.ceiling > 0 && n > k.ceiling {
		return fmt.Errorf("call %d carries %d tokens, chunk_tokens is %d and the ceiling was %d", c.Number, n, o.ChunkTokens, k.ceiling)
	}
	identities := map[sandbox.Identity]string{}
	var tokens []connect.Token
	for i := range c.Tokens {
		t := &c.Tokens[i]
		is := k.src.byID(t.ExternalSubject)
		if is == nil {
			return fmt.Errorf("call %d carries %q, which no row ever was", c.Number, t.ExternalSubject)
		}
		if reason := is.reason(k.src.missingExpiry); reason != "" {
			return violated(is.key, "call %d carries %s, which is %s", c.Number, is.id, reason)
		}
		if is.expired() && !k.policy.SendExpired {
			return violated(is.key, "call %d carries %s, which is expired", c.Number, is.id)
		}
		if t.Identity != is.identity() || c.Connector != is.identity().Connector {
			return violated(is.key, "call %d to %s carries %s as %+v, want %+v", c.Number, c.Connector, is.id, t.Identity, is.identity())
		}
		if t.AccessTokenSHA256 != sha256.Sum256([]byte(is.access)) || is.refresh != "" && t.RefreshTokenSHA256 != sha256.Sum256([]byte(is.refresh)) {
			return violated(is.key, "call %d carries %s with other credentials", c.Number, is.id)
		}
		if other, twice := identities[t.Identity]; twice {
			return violated(is.key, "call %d carries two tokens of one identity: %s and %s", c.Number, other, is.id)
		}
		identities[t.Identity] = is.id
		row := is.row(k.src.missingExpiry)
		tokens = append(tokens, row.Token)
	}
	if n := len(connect.AppendBody(nil, tokens)); len(tokens) > 0 && n > o.ChunkBytes {
		return fmt.Errorf("call %d has %d bytes, chunk_bytes is %d", c.Number, n, o.ChunkBytes)
	}
	return nil
}

// fateOf tells what the worker must have made of a token, from what the
// endpoint did with its call.
func fateOf(c *sandbox.Call, t *sandbox.SentToken) fate {
	played := func(kinds ...sandbox.Kind) bool {
		return slices.ContainsFunc(c.Faults, func(f string) bool {
			name, _, _ := strings.Cut(strings.TrimSuffix(f, "+import"), ":")
			return slices.Contains(kinds, sandbox.Kind(name))
		})
	}
	switch s := c.Status; {
	case s == 0, s == 408, s >= 500 && !slices.Contains(c.Faults, "503:1"):
		return lost
	case s >= 300:
		return whole
	case played("204", sandbox.CutBody, sandbox.ResetInAnswer, sandbox.EmptyBody, sandbox.NotJSON, sandbox.OtherJSON):
		return lost
	case played(sandbox.SlowBody, sandbox.LargeBody, sandbox.MiscountedImported):
		return unsure
	case played(sandbox.MissingResults) && played(sandbox.RepeatedResults, sandbox.ContradictingResults):
		return unsure // together of full length, and miscounted
	case t.Answered == sandbox.NoVerdict:
		return unnamed
	case hasTwin(c, t):
		return unsure // the answer may not tell them apart
	case t.Answered == sandbox.Yes:
		return taken
	}
	return refused
}

// hasTwin tells that another token of the call is for the same subject id and
// environment, and differs only in what an answer need not repeat.
func hasTwin(c *sandbox.Call, t *sandbox.SentToken) bool {
	return slices.ContainsFunc(c.Tokens, func(o sandbox.SentToken) bool {
		return o.Identity != t.Identity && o.Subject.ID == t.Subject.ID && o.Environment == t.Environment
	})
}

// overtaken tells whether another key was sent for a token's identity since the token
// was, where that matters.
func (k *modelCheck) overtaken(s send) bool {
	before := k.sends[s.key]
	if k.policy.SendDuplicates || len(before) == 0 {
		return false
	}
	if k.tokens[s.key].Superseded {
		return true
	}
	since := before[len(before)-1].at
	for key, sends := range k.sends {
		if key != s.key && slices.ContainsFunc(sends, func(o send) bool { return o.identity() == s.identity() && o.at.After(since) }) {
			return true
		}
	}
	return false
}

// again checks that a token may be sent after what became of it before.
func (k *modelCheck) again(s send) error {
	n := len(k.sends[s.key])
	if n == 0 {
		return nil
	}
	last := k.sends[s.key][n-1]
	if last.content != s.content {
		was, is := last.identity(), s.identity()
		if last.fate == taken && k.policy.SkipChanged && was.Connector == is.Connector && was.Environment == is.Environment {
			return violated(s.key, "a token that changed after its import was sent again against the policy: %s", s)
		}
		return nil
	}
	switch last.fate {
	case taken:
		// Unless another content of it was in doubt when the run began, or since, by a
		// call that the endpoint never saw: then the import may be overtaken.
		t := k.tokens[s.key]
		if k.standing[s.key] || k.mayDiffer(s.key) || t.Outcome == string(checkpoint.Unknown) && !bytes.Equal(t.Fingerprint, t.Imported) {
			return nil
		}
		// Or another key was sent for the same identity since.
		if k.overtaken(s) {
			return nil
		}
		return violated(s.key, "a token whose import was answered was sent again: %s", s)
	case refused:
		// Unless it was sent again since, by a call that the endpoint never saw.
		if k.mayDiffer(s.key) {
			return nil
		}
		if t := k.tokens[s.key]; last.run != s.run && (k.standing[s.key] || t.Outcome == string(checkpoint.Unknown)) {
			return nil
		}
		if last.run == s.run || !k.worker.o.RetryFailed {
			return violated(s.key, "a token that was refused was sent again: %s", s)
		}
	case lost:
		if k.policy.InDoubt == InDoubtHold || k.policy.InDoubt == InDoubtFresh && !s.fresh(s.at) {
			return violated(s.key, "a token in doubt was sent again against the policy: %s", s)
		}
	}
	return nil
}

// recorded compares the table tokens with what the endpoint did.
func (k *modelCheck) recorded(tokens map[string]tokenRow, standing map[string]bool, h hashes) error {
	for _, key := range sortedKeys(tokens) {
		t := tokens[key]
		if t.Outcome == string(checkpoint.Imported) != (t.Reason == "") {
			return violated(key, "outcome %s has the reason %q", t.Outcome, t.Reason)
		}
		if t.Outcome == string(checkpoint.Imported) && t.Imported == nil {
			return violated(key, "imported, and nothing was")
		}
		answered := func(s send) bool {
			return s.answered == sandbox.Yes && bytes.Equal(h.fingerprint(s.content), t.Imported)
		}
		if t.Imported != nil && !slices.ContainsFunc(k.sends[key], answered) {
			return violated(key, "recorded as imported, and the endpoint never said so of this content")
		}
		if was := k.tokens[key]; was.Imported != nil && t.Imported == nil {
			return violated(key, "it was imported once, which is forgotten")
		}
		if standing[key] {
			continue
		}
		var last *send // that the worker may have recorded an answer to
		wholeSince := false
		for i := range k.sends[key] {
			if s := &k.sends[key][i]; s.fate == whole {
				wholeSince = true
			} else {
				last, wholeSince = s, false
			}
		}
		if last == nil {
			if t.Succeeded != nil {
				return violated(key, "succeeded is %v, and it was never answered", *t.Succeeded)
			}
			continue
		}
		if t.Succeeded != nil && (last.answered == sandbox.NoVerdict || *t.Succeeded != (last.answered == sandbox.Yes)) {
			return violated(key, "succeeded is %v, the last answer said %s", *t.Succeeded, last.answered)
		}
		if (last.fate == taken || last.fate == refused) && last.run == k.runs && !wholeSince && !k.mayDiffer(key) {
			if t.Succeeded == nil || !bytes.Equal(t.Fingerprint, h.fingerprint(last.content)) {
				return violated(key, "the last answer, %s, is not recorded: %+v", last.answered, t)
			}
			if last.fate == taken && !bytes.Equal(t.Imported, t.Fingerprint) {
				return violated(key, "the import is not recorded: %+v", t)
			}
		}
	}
	for _, key := range sortedKeys(k.sends) {
		if _, known := tokens[key]; !known && slices.ContainsFunc(k.sends[key], func(s send) bool { return s.fate == taken || s.fate == refused }) {
			return violated(key, "it was answered, and the checkpoint does not know it")
		}
	}
	return nil
}

// unclear tells that in the last run an answer may not have named its tokens, so
// that the worker asked again.
func (k *modelCheck) unclear() bool {
	for _, sends := range k.sends {
		for _, s := range sends {
			if s.run == k.runs && s.fate != taken && s.fate != refused {
				return true
			}
		}
	}
	return false
}

// sentNow returns a key that the last run sent, or "".
func (k *modelCheck) sentNow() string {
	for _, key := range sortedKeys(k.sends) {
		if sends := k.sends[key]; sends[len(sends)-1].run == k.runs {
			return key
		}
	}
	return ""
}
