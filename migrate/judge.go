package migrate

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/connect"
	"tokenmigrate/source"
)

// judge decides what becomes of rows: to be sent, or ended by what is known
// already. It is safe for concurrent use; callers take turns, so that of two
// rows for one identity exactly one wins.
type judge struct {
	policy      Policy
	retryFailed bool
	maxBytes    int // of one token alone in a body
	migration   int64
	run         int64
	known       lookup
	reread      rereader
	now         func() time.Time

	mu     sync.Mutex
	hash   *hasher // but for marks, which anybody may take
	claims claims
	sent   *filter // what this run sent, where nothing was sent before and nobody else sends; nil: not kept
}

// claims are the identities of tokens that are on their way and not recorded.
type claims interface {
	// owner returns the key that claimed an identity; an empty key with true
	// means that it was claimed and by whom is not kept.
	owner(identity checkpoint.Hash) (key string, claimed bool)
	claim(identity checkpoint.Hash, key string)
	release(identity checkpoint.Hash, key string)
}

// claimMap are the claims of a run: only what is on its way stands in it.
type claimMap map[checkpoint.Hash]string

func (m claimMap) owner(identity checkpoint.Hash) (string, bool) {
	key, ok := m[identity]
	return key, ok
}

func (m claimMap) claim(identity checkpoint.Hash, key string) {
	if _, ok := m[identity]; !ok {
		m[identity] = key
	}
}

func (m claimMap) release(identity checkpoint.Hash, key string) {
	if m[identity] == key {
		delete(m, identity)
	}
}

// ruling is what was decided of one row.
type ruling struct {
	item    *item // to be sent; nil: the row has ended
	place   place
	ended   standing
	detail  string
	record  bool // the checkpoint does not know the ending yet
	key     string
	owner   string // who owns the row's identity, if that is another known key
	subject string // whose token it is, as far as the row tells
}

// local returns the ruling's ending as the checkpoint records it.
func (r *ruling) local() checkpoint.Local {
	return checkpoint.Local{
		Key: r.key, Connector: r.place.Connector, Environment: r.place.Environment,
		Outcome: r.ended.outcome, Reason: r.ended.reason, Detail: r.detail,
	}
}

// lookUp returns what is known of each token, in the order in which they are asked for.
type lookUp func(ctx context.Context, asked []checkpoint.Asked) ([]checkpoint.Prior, error)

// byKey looks each token up.
func (j *judge) byKey(ctx context.Context, asked []checkpoint.Asked) ([]checkpoint.Prior, error) {
	return j.known.Priors(ctx, j.migration, asked)
}

// rows judges the rows of one page, in their order.
//
// No claim is released between asking who was sent and the ruling, since both are
// under the lock: a token that is recorded meanwhile is seen in one of the two.
func (j *judge) rows(ctx context.Context, rows []source.Row, marks []mark, know lookUp) ([]ruling, error) {
	j.mu.Lock()
	defer j.mu.Unlock()

	asked := make([]checkpoint.Asked, len(rows))
	for i := range rows {
		asked[i] = checkpoint.Asked{Key: rows[i].Key, Fingerprint: marks[i].fingerprint}
	}
	priors, err := know(ctx, asked)
	if err != nil {
		return nil, err
	}
	if j.policy.SendDuplicates { // each supersedes the other, and that is as wanted
		for i := range priors {
			priors[i].Superseded = false
		}
	}
	items := make([]*item, len(rows)) // of what is mapped and not settled
	for i := range rows {
		if marks[i] != (mark{}) && !marks[i].settled(&priors[i]) {
			items[i] = j.item(&rows[i], marks[i])
			// What was sent for another identity since it was imported is not found by who
			// is sent for this one: it may be superseded, and nobody noted that.
			elsewhere := priors[i].Identity != (checkpoint.Hash{}) && priors[i].Identity != items[i].identity
			priors[i].Superseded = priors[i].Superseded || elsewhere && !j.policy.SendDuplicates
		}
	}
	senders, err := j.senders(ctx, items)
	if err != nil {
		return nil, err
	}
	now := j.now()
	owners, err := j.livingOwners(ctx, items, senders.Sent, now)
	if err != nil {
		return nil, err
	}
	claimed := make(map[checkpoint.Hash]string) // by rows of this page
	rulings := make([]ruling, len(rows))
	for i := range rows {
		prior, known := priors[i], priors[i].Outcome != ""
		sent := recall(prior)
		r := &rulings[i]
		r.key, r.subject = rows[i].Key, rows[i].Token.Subject.ID
		r.place = place{Connector: rows[i].Connector, Environment: rows[i].Token.Environment}
		switch {
		case items[i] != nil:
			owner, taken := claimed[items[i].identity]
			if !taken {
				owner, taken = j.claims.owner(items[i].identity)
			}
			calling := false
			if n := slices.IndexFunc(senders.Calling[items[i].identity], func(key string) bool { return key != r.key }); !taken && n >= 0 {
				owner, taken, calling = senders.Calling[items[i].identity][n], true, true
			}
			if !taken {
				owner, taken = owners[items[i].identity]
			}
			if taken && owner != r.key {
				r.owner = owner
			}
			r.ended, r.detail = rule(facts{
				item: items[i], prior: sent, known: known, run: j.run, retryFailed: j.retryFailed,
				owner: owner, owned: taken && owner != r.key, calling: calling, maxBytes: j.maxBytes, now: now,
			}, &j.policy)
		case marks[i] != mark{}:
			r.ended = settledAs(&prior, j.run)
		default:
			r.ended, r.detail = rowEnding(&rows[i])
		}
		if r.ended.outcome == pending {
			r.item = items[i]
			r.item.standing, r.item.known = r.ended, known
			if list := senders.Sent[r.item.identity]; len(list) > 0 {
				r.item.seen = senders.Seen(r.item.identity, r.key)
				r.item.others = len(list)
				if slices.Contains(list, r.key) {
					r.item.others--
				}
			}
			r.item.sent = sent.Outcome == checkpoint.Unknown || sent.Reason == reasonUnavailable
			j.claims.claim(r.item.identity, r.key)
			claimed[r.item.identity] = r.key
			if j.sent != nil {
				j.sent.add(r.item.identity)
			}
		} else {
			r.record = needsRecord(r, prior, known)
		}
	}
	return rulings, nil
}

// senders returns who was sent, or is being sent by other shards, for the items'
// identities. What certainly never was is not asked for.
func (j *judge) senders(ctx context.Context, items []*item) (checkpoint.Owners, error) {
	var asked []checkpoint.Hash
	for _, it := range items {
		if it != nil && (j.sent == nil || j.sent.perhaps(it.identity)) {
			asked = append(asked, it.identity)
		}
	}
	if len(asked) == 0 {
		return checkpoint.Owners{}, nil
	}
	return j.known.Owners(ctx, j.migration, asked)
}

// settled tells that a token was imported as it is now. What else there is to know of
// it changes nothing then, not even whose it is.
func (m *mark) settled(p *checkpoint.Prior) bool {
	return p.Outcome == checkpoint.Imported && p.Imported == m.fingerprint && !p.Superseded
}

// settledAs is how a settled token is counted.
func settledAs(p *checkpoint.Prior, run int64) standing {
	if p.Outcome == checkpoint.Imported && p.RunID == run {
		return standing{checkpoint.Imported, ""}
	}
	return standing{unchanged, ""}
}

// same tells that a row that was read again is what the item was made of.
func (j *judge) same(it *item, row *source.Row) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	fingerprint, _ := j.hash.fingerprint(row)
	return fingerprint == it.fingerprint
}

// claim notes that a key's token is on its way, or may have been sent.
func (j *judge) claim(identity checkpoint.Hash, key string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.claims.claim(identity, key)
}

// release takes a claim back.
func (j *judge) release(identity checkpoint.Hash, key string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.claims.release(identity, key)
}

// leaked returns an error if identities are claimed at the end of a walk, when
// nothing is on its way: other rows would be called duplicates of what claims them.
func (j *judge) leaked() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if claims, ok := j.claims.(claimMap); ok && len(claims) > 0 {
		return fmt.Errorf("%d identities are still claimed at the end of a walk; this is a bug, nothing is lost, the checkpoint holds what was imported", len(claims))
	}
	return nil
}

// item returns what is made of a row.
func (j *judge) item(row *source.Row, m mark) *item {
	return &item{
		key: row.Key, connector: row.Connector, token: row.Token, madeUp: row.MadeUpExpiry,
		fingerprint: m.fingerprint, size: m.size, identity: j.hash.identity(row),
	}
}

// livingOwners returns who owns each identity: the first of the keys that were
// sent for it whose row is still there, still for it, and not left out as expired. The
// source is asked only where another row claims the identity now.
func (j *judge) livingOwners(ctx context.Context, items []*item, senders map[checkpoint.Hash][]string, now time.Time) (map[checkpoint.Hash]string, error) {
	if len(senders) == 0 {
		return nil, nil
	}
	asked := make(map[string]bool)
	for _, it := range items {
		if it == nil || j.policy.SendDuplicates { // whoever else there was
			continue
		}
		for _, key := range senders[it.identity] {
			if key == it.key {
				break
			}
			asked[key] = true
		}
	}
	living := make(map[string]checkpoint.Hash) // of those asked for, whose each is now
	if len(asked) > 0 {
		rows, err := j.reread.Rows(ctx, slices.Collect(maps.Keys(asked)))
		if err != nil {
			return nil, err
		}
		for i := range rows {
			if rows[i].Reason == "" && (j.policy.SendExpired || !expired(&item{token: rows[i].Token, madeUp: rows[i].MadeUpExpiry}, now)) {
				living[rows[i].Key] = j.hash.identity(&rows[i])
			}
		}
	}
	owners := make(map[checkpoint.Hash]string, len(senders))
	for identity, keys := range senders {
		for _, key := range keys {
			if is, ok := living[key]; !asked[key] || ok && is == identity {
				owners[identity] = key
				break
			}
		}
	}
	return owners, nil
}

// rowEnding is the ending of a row that could not be mapped.
func rowEnding(row *source.Row) (standing, string) {
	if row.Reason.Skipped() {
		return standing{checkpoint.Skipped, string(row.Reason)}, row.Detail
	}
	return standing{checkpoint.Invalid, string(row.Reason)}, row.Detail
}

// facts is all that rule looks at.
type facts struct {
	item        *item
	prior       checkpoint.Prior
	known       bool
	run         int64
	retryFailed bool
	owner       string // who owns the item's identity
	owned       bool   // and it is another key
	calling     bool   // which another shard is sending
	maxBytes    int
	now         time.Time
}

// recall returns what is known of a token whose row was left out after it was
// sent: how it ended when it was sent still holds for the same content. Without
// an answer on record that is in doubt, though it may have been rejected.
func recall(p checkpoint.Prior) checkpoint.Prior {
	if p.Outcome != checkpoint.Invalid && p.Outcome != checkpoint.Skipped || p.Fingerprint == (checkpoint.Hash{}) {
		return p
	}
	switch {
	case p.Succeeded == nil:
		p.Outcome, p.Reason = checkpoint.Unknown, reasonInDoubt
		p.Detail = "it was sent before its row was left out for a while, and no answer to that is on record"
	case !*p.Succeeded:
		p.Outcome, p.Reason, p.Detail = checkpoint.Failed, reasonRefused, refusedDetail
	}
	return p
}

// refusedDetail is what the endpoint says of a token that it refuses.
const refusedDetail = "the endpoint answered succeeded: false"

// rule decides what becomes of a row that maps to a token. A standing of
// pending means: send it. What was imported and is unchanged comes first,
// since a positive answer settles a token whatever has become of its expiry.
func rule(f facts, p *Policy) (standing, string) {
	it, prior := f.item, f.prior
	same := f.known && prior.Fingerprint == it.fingerprint
	// What ended unavailable was sent, too, and may have been imported.
	doubt := prior.Outcome == checkpoint.Unknown || prior.Outcome == checkpoint.Failed && prior.Reason == reasonUnavailable
	imported := prior.Imported != (checkpoint.Hash{})
	duplicate := f.owned && !p.SendDuplicates
	if imported && prior.Imported == it.fingerprint && !prior.Superseded && !doubt {
		return settledAs(&prior, f.run), ""
	}
	if same && prior.Outcome == checkpoint.Failed {
		tried := prior.RunID == f.run
		switch prior.Reason {
		case reasonRefused: // a duplicate is one in each walk, and its refusal is not forgotten
			if !duplicate && (tried || !f.retryFailed) {
				return standing{checkpoint.Failed, prior.Reason}, prior.Detail
			}
		case reasonRejected: // which nothing else tells of a duplicate
			if duplicate || tried || !f.retryFailed {
				return standing{checkpoint.Failed, prior.Reason}, prior.Detail
			}
		default:
			if tried || !mayResend(it, p, f.now) {
				return standing{checkpoint.Failed, prior.Reason}, prior.Detail
			}
		}
	}
	if same && doubt {
		if prior.Reason == reasonUnmatched && prior.RunID == f.run || prior.Reason == reasonInDoubt && !mayResend(it, p, f.now) {
			return standing{checkpoint.Unknown, prior.Reason}, prior.Detail
		}
	}
	switch {
	case imported && prior.Imported != it.fingerprint && p.SkipChanged && !doubt && prior.Connector == it.connector && prior.Environment == it.token.Environment:
		return standing{checkpoint.Skipped, reasonChanged}, "it was imported before and its content differs now"
	case !p.SendExpired && expired(it, f.now) && same && doubt:
		return standing{prior.Outcome, prior.Reason}, prior.Detail // it may be imported
	case !p.SendExpired && expired(it, f.now):
		return standing{checkpoint.Skipped, reasonExpired}, expiredDetail(&it.token)
	case it.size+connect.BodyOverhead > f.maxBytes:
		return standing{checkpoint.Invalid, reasonTooLarge},
			fmt.Sprintf("the token alone makes a request of %d bytes, send.chunk_bytes allows %d", it.size+connect.BodyOverhead, f.maxBytes)
	case duplicate:
		return standing{checkpoint.Invalid, reasonDuplicate}, duplicateDetail(it.key, f.owner, f.calling)
	}
	return standing{outcome: pending}, ""
}

// mayResend says whether a token in doubt may be sent again with the same content.
func mayResend(it *item, p *Policy, now time.Time) bool {
	switch p.InDoubt {
	case InDoubtHold:
		return false
	case InDoubtFresh:
		return it.madeUp || it.token.ExpiresAt > now.UnixMilli()
	}
	return true
}

// expired reports that the access token is no longer good and there is no
// refresh token to get another with.
func expired(it *item, now time.Time) bool {
	t, ms := &it.token, now.UnixMilli()
	if it.madeUp || t.ExpiresAt > ms {
		return false
	}
	return t.RefreshToken.Empty() || t.RefreshTokenExpiresAt != 0 && t.RefreshTokenExpiresAt <= ms
}

func expiredDetail(t *connect.Token) string {
	at := time.UnixMilli(t.ExpiresAt).UTC().Format(time.RFC3339)
	if t.RefreshToken.Empty() {
		return "the access token expired at " + at + " and there is no refresh token"
	}
	return "the access token expired at " + at + " and the refresh token at " + time.UnixMilli(t.RefreshTokenExpiresAt).UTC().Format(time.RFC3339)
}

func duplicateDetail(key, owner string, calling bool) string {
	switch {
	case calling:
		return fmt.Sprintf("key %s is for the same connector, environment and subject as key %s, which another shard is sending", key, owner)
	case owner == "":
		return fmt.Sprintf("key %s is for the same connector, environment and subject as a row that was read before it", key)
	}
	return fmt.Sprintf("key %s is for the same connector, environment and subject as key %s, which was imported or read before it", key, owner)
}

// needsRecord tells whether the checkpoint has to be told of an ending. What it
// says already is not written again, so that a second run writes nothing.
func needsRecord(r *ruling, prior checkpoint.Prior, known bool) bool {
	switch r.ended.outcome {
	case checkpoint.Imported, unchanged:
		return prior.Outcome != checkpoint.Imported
	}
	return !known || prior.Outcome != r.ended.outcome || prior.Reason != r.ended.reason || prior.Detail != r.detail
}

// The reason codes that are decided in this package.
const (
	reasonRefused     = "refused"
	reasonRejected    = "rejected"
	reasonUnavailable = "unavailable"
	reasonTooLarge    = "too_large"
	reasonDuplicate   = "duplicate"
	reasonExpired     = "expired"
	reasonChanged     = "changed"
	reasonInDoubt     = "in_doubt"
	reasonUnmatched   = "unmatched"
)
