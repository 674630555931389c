package migrate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/connect"
)

const (
	thisRun    = 7
	earlierRun = 6
)

// The content of the item under judgement, and another.
var isNow, wasOnce = hashOf(1), hashOf(2)

// judged is the item that the tables judge, with changes.
func judged(change ...func(*item)) *item {
	it := &item{key: "k2", connector: slack, token: userToken("ada"), size: 300, fingerprint: isNow, identity: hashOf(9)}
	for _, c := range change {
		c(it)
	}
	return it
}

func expiredAccess(it *item) { it.token.ExpiresAt = before }
func noRefresh(it *item)     { it.token.RefreshToken = connect.Secret{} }
func madeUp(it *item)        { it.madeUp = true }

func TestRule_FollowsWhatIsKnown(t *testing.T) {
	t.Parallel()
	prior := func(outcome checkpoint.Outcome, reason string, sent, imported checkpoint.Hash, run int64) checkpoint.Prior {
		return checkpoint.Prior{Outcome: outcome, Reason: reason, Detail: "what was said", Fingerprint: sent, Imported: imported, RunID: run}
	}
	var none checkpoint.Hash
	send := standing{outcome: pending}
	was := func(o checkpoint.Outcome, reason string) standing { return standing{o, reason} }
	refused, rejected, unavailable := was(checkpoint.Failed, "refused"), was(checkpoint.Failed, "rejected"), was(checkpoint.Failed, "unavailable")
	inDoubt, unmatched := was(checkpoint.Unknown, "in_doubt"), was(checkpoint.Unknown, "unmatched")
	hold, fresh := Policy{InDoubt: InDoubtHold}, Policy{InDoubt: InDoubtFresh}

	for _, c := range []struct {
		name   string
		prior  checkpoint.Prior
		policy Policy
		retry  bool
		owned  bool
		change []func(*item)
		want   standing
	}{
		{name: "nothing is known", want: send},

		{name: "imported before", prior: prior(checkpoint.Imported, "", isNow, isNow, earlierRun), want: was(unchanged, "")},
		{name: "imported by this run", prior: prior(checkpoint.Imported, "", isNow, isNow, thisRun), want: was(checkpoint.Imported, "")},
		{name: "imported, retry of failures asked", prior: prior(checkpoint.Imported, "", isNow, isNow, earlierRun), retry: true, want: was(unchanged, "")},
		{name: "imported, and superseded since", prior: superseded(prior(checkpoint.Imported, "", isNow, isNow, earlierRun)), want: send},
		{name: "likewise, where changed content is not sent", prior: superseded(prior(checkpoint.Imported, "", isNow, isNow, earlierRun)), policy: Policy{SkipChanged: true}, want: send},
		{name: "likewise, once it was a duplicate", prior: superseded(prior(checkpoint.Invalid, "duplicate", isNow, isNow, earlierRun)), want: send},
		{name: "imported, other content now", prior: prior(checkpoint.Imported, "", wasOnce, wasOnce, earlierRun), want: send},
		{name: "imported by this run, other content now", prior: prior(checkpoint.Imported, "", wasOnce, wasOnce, thisRun), want: send},
		{name: "imported, other content now, changed: skip", prior: prior(checkpoint.Imported, "", wasOnce, wasOnce, earlierRun), policy: Policy{SkipChanged: true}, want: was(checkpoint.Skipped, "changed")},
		{name: "never imported, changed: skip", prior: prior(checkpoint.Failed, "refused", wasOnce, none, earlierRun), policy: Policy{SkipChanged: true}, want: send},

		{name: "refused before", prior: prior(checkpoint.Failed, "refused", isNow, none, earlierRun), want: refused},
		{name: "refused by this run", prior: prior(checkpoint.Failed, "refused", isNow, none, thisRun), want: refused},
		{name: "refused before, retry", prior: prior(checkpoint.Failed, "refused", isNow, none, earlierRun), retry: true, want: send},
		{name: "refused by this run, retry: once is enough", prior: prior(checkpoint.Failed, "refused", isNow, none, thisRun), retry: true, want: refused},
		{name: "refused, other content now", prior: prior(checkpoint.Failed, "refused", wasOnce, none, earlierRun), want: send},
		{name: "refused by this run, other content now", prior: prior(checkpoint.Failed, "refused", wasOnce, none, thisRun), want: send},
		{name: "rejected before", prior: prior(checkpoint.Failed, "rejected", isNow, none, earlierRun), want: rejected},
		{name: "rejected before, retry", prior: prior(checkpoint.Failed, "rejected", isNow, none, earlierRun), retry: true, want: send},
		{name: "rejected by this run, retry", prior: prior(checkpoint.Failed, "rejected", isNow, none, thisRun), retry: true, want: rejected},
		{name: "rejected, other content now", prior: prior(checkpoint.Failed, "rejected", wasOnce, none, earlierRun), want: send},
		{name: "refused before, a duplicate now", prior: prior(checkpoint.Failed, "refused", isNow, none, earlierRun), owned: true, want: was(checkpoint.Invalid, "duplicate")},
		{name: "refused before, a duplicate now, retry", prior: prior(checkpoint.Failed, "refused", isNow, none, earlierRun), owned: true, retry: true, want: was(checkpoint.Invalid, "duplicate")},
		{name: "refused, and left out as a duplicate by this run", prior: recall(checkpoint.Prior{Outcome: checkpoint.Invalid, Reason: "duplicate", Succeeded: new(false), Fingerprint: isNow, RunID: thisRun}), owned: true, retry: true, want: was(checkpoint.Invalid, "duplicate")},
		{name: "refused before, one of several that are sent", prior: prior(checkpoint.Failed, "refused", isNow, none, earlierRun), owned: true, policy: Policy{SendDuplicates: true}, want: refused},
		{name: "rejected before, a duplicate now", prior: prior(checkpoint.Failed, "rejected", isNow, none, earlierRun), owned: true, want: rejected},
		{name: "rejected before, a duplicate now, retry", prior: prior(checkpoint.Failed, "rejected", isNow, none, earlierRun), owned: true, retry: true, want: rejected},
		{name: "unavailable before", prior: prior(checkpoint.Failed, "unavailable", isNow, none, earlierRun), want: send},
		{name: "unavailable in this run", prior: prior(checkpoint.Failed, "unavailable", isNow, none, thisRun), want: unavailable},
		{name: "unavailable in this run, retry", prior: prior(checkpoint.Failed, "unavailable", isNow, none, thisRun), retry: true, want: unavailable},
		{name: "unavailable in this run, other content now", prior: prior(checkpoint.Failed, "unavailable", wasOnce, none, thisRun), want: send},
		{name: "changed content was refused", prior: prior(checkpoint.Failed, "refused", isNow, wasOnce, earlierRun), want: refused},
		{name: "changed content was refused and is as imported again", prior: prior(checkpoint.Failed, "refused", wasOnce, isNow, earlierRun), want: was(unchanged, "")},

		{name: "in doubt, send", prior: prior(checkpoint.Unknown, "in_doubt", isNow, none, earlierRun), policy: Policy{InDoubt: InDoubtSend}, want: send},
		{name: "in doubt of this run, send", prior: prior(checkpoint.Unknown, "in_doubt", isNow, none, thisRun), policy: Policy{InDoubt: InDoubtSend}, want: send},
		{name: "in doubt, fresh, access token good", prior: prior(checkpoint.Unknown, "in_doubt", isNow, none, earlierRun), policy: fresh, want: send},
		{name: "in doubt, fresh, access token expired", prior: prior(checkpoint.Unknown, "in_doubt", isNow, none, earlierRun), policy: fresh, change: []func(*item){expiredAccess}, want: inDoubt},
		{name: "in doubt, fresh, expired this very moment", prior: prior(checkpoint.Unknown, "in_doubt", isNow, none, earlierRun), policy: fresh, change: []func(*item){func(it *item) { it.token.ExpiresAt = noon.UnixMilli() }}, want: inDoubt},
		{name: "in doubt, fresh, expiry made up", prior: prior(checkpoint.Unknown, "in_doubt", isNow, none, earlierRun), policy: fresh, change: []func(*item){expiredAccess, madeUp}, want: send},
		{name: "in doubt, fresh, expired, other content now", prior: prior(checkpoint.Unknown, "in_doubt", wasOnce, none, earlierRun), policy: fresh, change: []func(*item){expiredAccess}, want: send},
		{name: "in doubt, hold", prior: prior(checkpoint.Unknown, "in_doubt", isNow, none, earlierRun), policy: hold, want: inDoubt},
		{name: "in doubt, hold, retry of failures asked", prior: prior(checkpoint.Unknown, "in_doubt", isNow, none, earlierRun), policy: hold, retry: true, want: inDoubt},
		{name: "in doubt, hold, other content now", prior: prior(checkpoint.Unknown, "in_doubt", wasOnce, none, earlierRun), policy: hold, want: send},
		{name: "imported, then the same in doubt: the later word counts", prior: prior(checkpoint.Unknown, "in_doubt", isNow, isNow, earlierRun), policy: hold, want: inDoubt},
		{name: "other content in doubt, now as imported once: the endpoint may hold the other", prior: prior(checkpoint.Unknown, "in_doubt", wasOnce, isNow, earlierRun), want: send},
		{name: "in doubt, imported before, changed: skip", prior: prior(checkpoint.Unknown, "in_doubt", isNow, wasOnce, earlierRun), policy: Policy{SkipChanged: true, InDoubt: InDoubtSend}, want: send},

		{name: "unmatched before", prior: prior(checkpoint.Unknown, "unmatched", isNow, none, earlierRun), want: send},
		{name: "unmatched before, hold: it was answered", prior: prior(checkpoint.Unknown, "unmatched", isNow, none, earlierRun), policy: hold, want: send},
		{name: "unmatched before, fresh and expired: it was answered", prior: prior(checkpoint.Unknown, "unmatched", isNow, none, earlierRun), policy: fresh, change: []func(*item){expiredAccess}, want: send},
		{name: "unmatched by this run", prior: prior(checkpoint.Unknown, "unmatched", isNow, none, thisRun), want: unmatched},
		{name: "unmatched by this run, other content now", prior: prior(checkpoint.Unknown, "unmatched", wasOnce, none, thisRun), want: send},

		{name: "invalid before, valid now", prior: prior(checkpoint.Invalid, "missing_subject", none, none, earlierRun), want: send},
		{name: "skipped before, not now", prior: prior(checkpoint.Skipped, "expired", none, none, earlierRun), want: send},
		{name: "invalid before, after an import of the same", prior: prior(checkpoint.Invalid, "decrypt_failed", isNow, isNow, earlierRun), want: was(unchanged, "")},
		{name: "skipped by this run, after an import of the same", prior: prior(checkpoint.Skipped, "excluded", isNow, isNow, thisRun), want: was(unchanged, "")},
		{name: "skipped as changed before, as imported again", prior: prior(checkpoint.Skipped, "changed", isNow, isNow, earlierRun), policy: Policy{SkipChanged: true}, want: was(unchanged, "")},
		{name: "skipped as changed before, still other, changed: send", prior: prior(checkpoint.Skipped, "changed", wasOnce, wasOnce, earlierRun), want: send},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := facts{item: judged(c.change...), prior: c.prior, known: c.prior.Outcome != "", run: thisRun, retryFailed: c.retry, owned: c.owned, maxBytes: 1 << 20, now: noon}
			got, detail := rule(inPlace(f), &c.policy)
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if stands := got.outcome == checkpoint.Failed || got.outcome == checkpoint.Unknown; stands && detail != "what was said" {
				t.Errorf("got detail %q, want that of the checkpoint kept", detail)
			}
		})
	}
}

func TestRule_JudgesWhatWasNotSettled(t *testing.T) {
	t.Parallel()
	refresh := func(at int64) func(*item) { return func(it *item) { it.token.RefreshTokenExpiresAt = at } }
	size := func(n int) func(*item) { return func(it *item) { it.size = n } }
	const room = 1000
	owned := func(f *facts) { f.owner, f.owned = "k1", true }
	unnamed := func(f *facts) { f.owned = true }
	send, skipped := standing{outcome: pending}, standing{checkpoint.Skipped, "expired"}
	duplicate, tooLarge := standing{checkpoint.Invalid, "duplicate"}, standing{checkpoint.Invalid, "too_large"}
	for _, c := range []struct {
		name   string
		change []func(*item)
		facts  func(*facts)
		policy Policy
		want   standing
		detail []string
	}{
		{name: "expired with a refresh token", change: []func(*item){expiredAccess}, want: send},
		{name: "expired without", change: []func(*item){expiredAccess, noRefresh}, want: skipped, detail: []string{"2026-10-01T11:00:00Z", "there is no refresh token"}},
		{name: "good without", change: []func(*item){noRefresh}, want: send},
		{name: "expires this very moment, without", change: []func(*item){noRefresh, func(it *item) { it.token.ExpiresAt = noon.UnixMilli() }}, want: skipped},
		{name: "expires in a millisecond, without", change: []func(*item){noRefresh, func(it *item) { it.token.ExpiresAt = noon.UnixMilli() + 1 }}, want: send},
		{name: "both expired", change: []func(*item){expiredAccess, refresh(before)}, want: skipped, detail: []string{"the access token expired at 2026-10-01T11:00:00Z", "the refresh token at 2026-10-01T11:00:00Z"}},
		{name: "expired, the refresh token this very moment", change: []func(*item){expiredAccess, refresh(noon.UnixMilli())}, want: skipped},
		{name: "expired, the refresh token is good", change: []func(*item){expiredAccess, refresh(after)}, want: send},
		{name: "good, the refresh token expired", change: []func(*item){refresh(before)}, want: send},
		{name: "expiry made up", change: []func(*item){expiredAccess, noRefresh, madeUp}, want: send},
		{name: "expired without, expired: send", change: []func(*item){expiredAccess, noRefresh}, policy: Policy{SendExpired: true}, want: send},

		{name: "just fits", change: []func(*item){size(room - connect.BodyOverhead)}, want: send},
		{name: "one byte too large", change: []func(*item){size(room - connect.BodyOverhead + 1)}, want: tooLarge, detail: []string{"1001 bytes", "allows 1000", "send.chunk_bytes"}},

		{name: "another row's identity", facts: owned, want: duplicate, detail: []string{"key k2", "key k1"}},
		{name: "another row's identity, which one is not kept", facts: unnamed, want: duplicate, detail: []string{"key k2", "read before it"}},
		{name: "another row's identity, duplicates: send", facts: owned, policy: Policy{SendDuplicates: true}, want: send},

		{name: "expired comes before too large", change: []func(*item){expiredAccess, noRefresh, size(room)}, facts: owned, want: skipped},
		{name: "too large comes before duplicate", change: []func(*item){size(room)}, facts: owned, want: tooLarge},
		{name: "changed comes before all of them", change: []func(*item){expiredAccess, noRefresh, size(room)}, policy: Policy{SkipChanged: true},
			facts: func(f *facts) {
				owned(f)
				f.known, f.prior = true, checkpoint.Prior{Outcome: checkpoint.Imported, Fingerprint: wasOnce, Imported: wasOnce}
			}, want: standing{checkpoint.Skipped, "changed"}, detail: []string{"imported before", "differs"}},
		{name: "a positive answer comes before everything", change: []func(*item){expiredAccess, noRefresh, size(room)},
			facts: func(f *facts) {
				owned(f)
				f.known, f.prior = true, checkpoint.Prior{Outcome: checkpoint.Imported, Fingerprint: isNow, Imported: isNow}
			}, want: standing{unchanged, ""}},
		{name: "a retry is judged anew", change: []func(*item){expiredAccess, noRefresh},
			facts: func(f *facts) {
				f.retryFailed, f.known, f.prior = true, true, checkpoint.Prior{Outcome: checkpoint.Failed, Reason: "refused", Fingerprint: isNow}
			}, want: skipped},
		{name: "a refusal stands although it expired since", change: []func(*item){expiredAccess, noRefresh},
			facts: func(f *facts) {
				f.known, f.prior = true, checkpoint.Prior{Outcome: checkpoint.Failed, Reason: "refused", Fingerprint: isNow}
			}, want: standing{checkpoint.Failed, "refused"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := facts{item: judged(c.change...), run: thisRun, maxBytes: room, now: noon}
			if c.facts != nil {
				c.facts(&f)
			}
			got, detail := rule(inPlace(f), &c.policy)
			if got != c.want {
				t.Errorf("got %+v (%s), want %+v", got, detail, c.want)
			}
			for _, part := range c.detail {
				if !strings.Contains(detail, part) {
					t.Errorf("got detail %q, want it to contain %q", detail, part)
				}
			}
			if got.reason == "" && detail != "" || got.outcome == checkpoint.Skipped && detail == "" {
				t.Errorf("got %+v with detail %q, want a detail exactly where there is a reason", got, detail)
			}
		})
	}
}

// Over everything that can be combined: the promises that no table row may break.
func TestRule_KeepsItsPromisesInEveryCombination(t *testing.T) {
	t.Parallel()
	type ending struct {
		outcome checkpoint.Outcome
		reason  string
	}
	endings := []ending{
		{"", ""}, {checkpoint.Imported, ""}, {checkpoint.Failed, "refused"}, {checkpoint.Failed, "rejected"}, {checkpoint.Failed, "unavailable"},
		{checkpoint.Unknown, "in_doubt"}, {checkpoint.Unknown, "unmatched"}, {checkpoint.Invalid, "duplicate"}, {checkpoint.Skipped, "expired"},
	}
	hashes := []checkpoint.Hash{{}, isNow, wasOnce}
	changes := [][]func(*item){nil, {expiredAccess}, {expiredAccess, noRefresh}, {expiredAccess, noRefresh, madeUp}, {func(it *item) { it.size = 5000 }}}
	bools := []bool{false, true}
	n := 0
	for _, e := range endings {
		for _, sent := range hashes {
			for _, imported := range hashes {
				for _, run := range []int64{thisRun, earlierRun} {
					for change := range changes {
						for flags := range 64 {
							bit := func(i int) bool { return bools[flags>>i&1] }
							for _, doubt := range []InDoubt{InDoubtSend, InDoubtFresh, InDoubtHold} {
								f := facts{
									item: judged(changes[change]...), known: e.outcome != "", run: thisRun, retryFailed: bit(0), owned: bit(1), owner: "k1", maxBytes: 1000, now: noon,
									prior: checkpoint.Prior{Outcome: e.outcome, Reason: e.reason, Detail: "said", Fingerprint: sent, Imported: imported, Superseded: bit(5), RunID: run},
								}
								if !f.known {
									f.prior = checkpoint.Prior{}
								}
								p := Policy{SendExpired: bit(2), SkipChanged: bit(3), SendDuplicates: bit(4), InDoubt: doubt}
								got, _ := rule(inPlace(f), &p)
								if broken := brokenPromise(f, p, got); broken != "" {
									t.Fatalf("%s: got %+v for prior %+v, item %d, policy %+v, retry %t, owned %t", broken, got, f.prior, change, p, f.retryFailed, f.owned)
								}
								n++
							}
						}
					}
				}
			}
		}
	}
	if n < 10_000 {
		t.Errorf("only %d combinations were judged", n)
	}
}

func brokenPromise(f facts, p Policy, got standing) string {
	it, prior := f.item, f.prior
	send := got.outcome == pending
	unknown := prior.Outcome == checkpoint.Unknown || prior.Reason == "unavailable" // the last answer was lost
	settled := prior.Imported == it.fingerprint && !prior.Superseded && !unknown
	same := f.known && prior.Fingerprint == it.fingerprint
	dead := it.token.ExpiresAt <= f.now.UnixMilli() && it.token.RefreshToken.Empty() && !it.madeUp
	switch {
	case settled && got.outcome != unchanged && got.outcome != checkpoint.Imported:
		return "a positive answer was not held"
	case !settled && (got.outcome == unchanged || got.outcome == checkpoint.Imported):
		return "called imported without a positive answer"
	case got.outcome == checkpoint.Imported && prior.RunID != f.run:
		return "an earlier run's import is counted as this one's"
	case send && same && prior.Outcome == checkpoint.Failed && prior.RunID == f.run:
		return "what failed in this run is sent again"
	case send && same && slices.Contains([]string{"refused", "rejected"}, prior.Reason) && !f.retryFailed:
		return "a refused token is sent again unasked"
	case send && same && prior.Reason == "in_doubt" && p.InDoubt == InDoubtHold:
		return "a held token is sent"
	case send && it.size > f.maxBytes:
		return "a token that is too large is sent"
	case send && dead && !p.SendExpired:
		return "an expired token is sent"
	case send && f.owned && !p.SendDuplicates:
		return "a duplicate is sent"
	case send && p.SkipChanged && prior.Imported != (checkpoint.Hash{}) && prior.Imported != it.fingerprint && !unknown:
		return "a changed token is sent"
	case !send && got.outcome != unchanged && got.outcome != checkpoint.Imported && got.reason == "":
		return "not sent, and no reason"
	case (got.outcome == checkpoint.Failed || got.outcome == checkpoint.Unknown) && (!same || got != standing{prior.Outcome, prior.Reason}):
		return fmt.Sprintf("an ending of the endpoint's that it never gave: %v", got)
	}
	return ""
}

// superseded is a prior since which another key was sent for the same identity.
func superseded(p checkpoint.Prior) checkpoint.Prior {
	p.Superseded = true
	return p
}

// inPlace lets the prior be of the connector and environment that the item has.
func inPlace(f facts) facts {
	f.prior.Connector, f.prior.Environment = f.item.connector, f.item.token.Environment
	return f
}

// A row that was moved to another connector is sent there, also where changed
// content is not.
func TestRule_SendsToANewPlaceWhatChangedIsSkipped(t *testing.T) {
	t.Parallel()
	f := inPlace(facts{item: judged(), known: true, run: thisRun, maxBytes: 1 << 20, now: noon,
		prior: checkpoint.Prior{Outcome: checkpoint.Imported, Imported: checkpoint.Hash{9}, Fingerprint: checkpoint.Hash{9}}})
	policy := &Policy{SkipChanged: true}
	if got, _ := rule(f, policy); got.outcome != checkpoint.Skipped {
		t.Fatalf("same place: got %+v, want it skipped", got)
	}
	for name, move := range map[string]func(*checkpoint.Prior){
		"connector":   func(p *checkpoint.Prior) { p.Connector = "slack/other" },
		"environment": func(p *checkpoint.Prior) { p.Environment = "preview" },
	} {
		moved := f
		move(&moved.prior)
		if got, _ := rule(moved, policy); got.outcome != pending {
			t.Errorf("another %s: got %+v, want it sent", name, got)
		}
	}
}
