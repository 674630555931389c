package migrate

import (
	"context"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/connect"
	"tokenmigrate/source"
)

func testJudge(m *memory, policy Policy) *judge {
	return &judge{
		policy: policy, maxBytes: 1 << 20, migration: 1, run: thisRun, known: m, reread: m,
		now: func() time.Time { return noon }, hash: testHasher(), claims: claimMap{},
	}
}

// rule judges rows, which must succeed, and returns "outcome reason" of each.
func (j *judge) endings(t *testing.T, rows ...source.Row) ([]string, []ruling) {
	t.Helper()
	rulings, err := j.rows(t.Context(), rows, j.hash.marks(rows), j.byKey)
	if err != nil {
		t.Fatalf("judge rows: %v", err)
	}
	got := make([]string, len(rulings))
	for i, r := range rulings {
		got[i] = strings.TrimSpace(string(r.ended.outcome) + " " + r.ended.reason)
		if r.key != rows[i].Key {
			t.Errorf("ruling %d is of key %s, want %s: the order of the rows", i, r.key, rows[i].Key)
		}
		if (r.item != nil) != (r.ended.outcome == pending) {
			t.Errorf("key %s: ended as %+v with item %v, want an item exactly where it is to be sent", r.key, r.ended, r.item)
		}
	}
	return got, rulings
}

func wantEndings(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func without(reason source.Reason, detail string) func(*source.Row) {
	return func(r *source.Row) { r.Reason, r.Detail = reason, detail }
}

func TestJudge_TellsMappingFailures(t *testing.T) {
	t.Parallel()
	j := testJudge(newMemory(), Policy{})
	got, rulings := j.endings(t,
		userRow("1", "ada"),
		userRow("2", "bob", without(source.ReasonMissingSubject, "nobody")),
		userRow("3", "cyd", without(source.ReasonExcluded, "left out")))
	wantEndings(t, got, "pending", "invalid missing_subject", "skipped excluded")
	want := checkpoint.Local{Key: "2", Connector: slack, Environment: "production", Outcome: checkpoint.Invalid, Reason: "missing_subject", Detail: "nobody"}
	if got := rulings[1].local(); !rulings[1].record || got != want {
		t.Errorf("got %+v (to be recorded: %t), want %+v to be recorded", got, rulings[1].record, want)
	}
	if rulings[0].record || rulings[0].item.standing != (standing{outcome: pending}) || rulings[0].item.key != "1" {
		t.Errorf("got %+v with item %+v, want an item that counts as pending and nothing to record", rulings[0].ended, rulings[0].item.standing)
	}
	if want := (place{Connector: slack, Environment: "production"}); rulings[1].place != want || rulings[0].place != want {
		t.Errorf("got places %v and %v, want %v", rulings[0].place, rulings[1].place, want)
	}
}

func TestJudge_FirstOfAPageWins(t *testing.T) {
	t.Parallel()
	j := testJudge(newMemory(), Policy{})
	got, rulings := j.endings(t, userRow("1", "ada"), userRow("2", "bob"), userRow("3", "ada"), userRow("4", "ada"))
	wantEndings(t, got, "pending", "pending", "invalid duplicate", "invalid duplicate")
	for _, i := range []int{2, 3} {
		if d := rulings[i].detail; !strings.Contains(d, "key "+rulings[i].key) || !strings.Contains(d, "key 1,") {
			t.Errorf("got detail %q, want it to name key %s and key 1", d, rulings[i].key)
		}
	}
}

func TestJudge_AnUnsendableRowClaimsNothing(t *testing.T) {
	t.Parallel()
	j := testJudge(newMemory(), Policy{})
	dead := func(r *source.Row) { expiredRow(r); r.Token.RefreshToken = userToken("").Data }
	got, _ := j.endings(t, userRow("1", "ada", dead), userRow("2", "ada", without("invalid_field", "bad")), userRow("3", "ada"), userRow("4", "ada", dead))
	wantEndings(t, got, "skipped expired", "invalid invalid_field", "pending", "skipped expired")
}

func expiredRow(r *source.Row) { r.Token.ExpiresAt = before }

func TestJudge_ClaimsHoldAcrossPagesUntilReleased(t *testing.T) {
	t.Parallel()
	j := testJudge(newMemory(), Policy{})
	got, first := j.endings(t, userRow("1", "ada"))
	wantEndings(t, got, "pending")
	got, second := j.endings(t, userRow("2", "ada"))
	wantEndings(t, got, "invalid duplicate")
	if !strings.Contains(second[0].detail, "key 1") {
		t.Errorf("got detail %q, want it to name key 1", second[0].detail)
	}
	got, _ = j.endings(t, userRow("1", "ada")) // read again
	wantEndings(t, got, "pending")

	identity := first[0].item.identity
	j.release(identity, "2") // not its own
	got, _ = j.endings(t, userRow("2", "ada"))
	wantEndings(t, got, "invalid duplicate")
	j.release(identity, "1")
	got, _ = j.endings(t, userRow("2", "ada"))
	wantEndings(t, got, "pending")
}

func TestJudge_KeepsTheFirstClaim(t *testing.T) {
	t.Parallel()
	j := testJudge(newMemory(), Policy{})
	identity := itemOf(userRow("", "ada")).identity
	j.claim(identity, "1")
	j.claim(identity, "2")
	if key, claimed := j.claims.owner(identity); key != "1" || !claimed {
		t.Errorf("got owner %q (%t), want 1", key, claimed)
	}
}

func TestJudge_SendsDuplicatesWhereAllowed(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.imported(userRow("0", "ada"))
	j := testJudge(m, Policy{SendDuplicates: true})
	got, _ := j.endings(t, userRow("1", "ada"), userRow("2", "ada"))
	wantEndings(t, got, "pending", "pending")
	if len(m.reread) != 0 {
		t.Errorf("got %v read again, want no question for owners that do not matter", m.reread)
	}
}

func TestJudge_AsksWhetherTheOwnerStillIsOne(t *testing.T) {
	t.Parallel()
	owner := userRow("1", "ada")
	for _, c := range []struct {
		name string
		now  *source.Row // what became of the owner; nil: vanished
		want string
	}{
		{"alive", &owner, "invalid duplicate"},
		{"alive with another credential", rowPtr(userRow("1", "ada", func(r *source.Row) { r.Token.AccessToken = userToken("new").AccessToken })), "invalid duplicate"},
		{"vanished", nil, "pending"},
		{"moved to another subject", rowPtr(userRow("1", "bob")), "pending"},
		{"moved to another connector", rowPtr(userRow("1", "ada", func(r *source.Row) { r.Connector = "github" })), "pending"},
		{"left out as expired now", rowPtr(userRow("1", "ada", expiredNow)), "pending"},
		{"invalid now", rowPtr(userRow("1", "ada", without(source.ReasonDecryptFailed, "wrong key"))), "pending"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMemory()
			m.imported(owner)
			delete(m.rows, "1")
			if c.now != nil {
				m.rows["1"] = *c.now
			}
			got, rulings := testJudge(m, Policy{}).endings(t, userRow("2", "ada"), userRow("3", "ada"))
			wantEndings(t, got, c.want, "invalid duplicate")
			if want := [][]string{{"1"}}; !reflect.DeepEqual(m.reread, want) {
				t.Errorf("got %v read again, want %v: the owner, once", m.reread, want)
			}
			wins := "2"
			if c.want != "pending" {
				wins = "1"
			}
			if !strings.Contains(rulings[1].detail, "key "+wins) {
				t.Errorf("got detail %q, want it to name the owner %s", rulings[1].detail, wins)
			}
		})
	}
}

// expiredNow makes a row's token one that is expired and cannot be refreshed.
func expiredNow(r *source.Row) {
	r.Token.ExpiresAt, r.Token.RefreshToken = noon.Add(-time.Hour).UnixMilli(), connect.Secret{}
}

// A token that was superseded since is not settled, but where all of an identity's are
// to be sent: they would supersede one another for ever.
func TestJudge_SendsWhatWasSuperseded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		policy Policy
		want   string
	}{{Policy{}, "pending"}, {Policy{SendDuplicates: true}, "unchanged"}} {
		m := newMemory()
		m.imported(userRow("1", "ada"))
		m.priors["1"] = superseded(m.priors["1"])
		got, _ := testJudge(m, c.policy).endings(t, userRow("1", "ada"))
		wantEndings(t, got, c.want)
	}
}

// An expired owner keeps its identity where expired tokens are sent.
func TestJudge_AnExpiredOwnerThatIsSent(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.imported(userRow("1", "ada"))
	m.rows["1"] = userRow("1", "ada", expiredNow)
	got, _ := testJudge(m, Policy{SendExpired: true}).endings(t, userRow("2", "ada"))
	wantEndings(t, got, "invalid duplicate")
}

func rowPtr(r source.Row) *source.Row { return &r }

func TestJudge_AsksNothingForSettledRows(t *testing.T) {
	t.Parallel()
	m := newMemory()
	one, two := userRow("1", "ada"), userRow("2", "ada") // both imported once, the first owns
	m.imported(two)
	m.imported(one)
	got, _ := testJudge(m, Policy{}).endings(t, one, two)
	wantEndings(t, got, "unchanged", "unchanged")
	if len(m.reread) != 0 {
		t.Errorf("got %v read again, want nothing", m.reread)
	}
}

func TestJudge_SecondRunWritesNothing(t *testing.T) {
	t.Parallel()
	m := newMemory()
	owner := userRow("1", "ada")
	m.imported(owner)
	dead := func(r *source.Row) { expiredRow(r); r.Token.RefreshToken = userToken("").Data }
	rows := []source.Row{owner, userRow("2", "ada"), userRow("3", "bob", dead), userRow("4", "cyd", without("invalid_field", "bad")), userRow("5", "dee", without(source.ReasonExcluded, "left out"))}
	j := testJudge(m, Policy{})
	_, rulings := j.endings(t, rows...)
	for _, r := range rulings[1:] {
		if !r.record {
			t.Errorf("key %s: the first run records nothing of %+v", r.key, r.ended)
		}
		l := r.local()
		m.priors[r.key] = checkpoint.Prior{Outcome: l.Outcome, Reason: l.Reason, Detail: l.Detail, RunID: 1}
	}
	got, rulings := j.endings(t, rows...)
	wantEndings(t, got, "unchanged", "invalid duplicate", "skipped expired", "invalid invalid_field", "skipped excluded")
	for _, r := range rulings {
		if r.record {
			t.Errorf("key %s: the second run would write %+v again", r.key, r.ended)
		}
	}
}

func TestNeedsRecord(t *testing.T) {
	t.Parallel()
	ending := func(o checkpoint.Outcome, reason, detail string) *ruling {
		return &ruling{ended: standing{o, reason}, detail: detail}
	}
	prior := checkpoint.Prior{Outcome: checkpoint.Skipped, Reason: "expired", Detail: "at one"}
	for _, c := range []struct {
		name  string
		r     *ruling
		prior checkpoint.Prior
		known bool
		want  bool
	}{
		{"new", ending(checkpoint.Skipped, "expired", "at one"), checkpoint.Prior{}, false, true},
		{"as it stands", ending(checkpoint.Skipped, "expired", "at one"), prior, true, false},
		{"other detail", ending(checkpoint.Skipped, "expired", "at two"), prior, true, true},
		{"other reason", ending(checkpoint.Skipped, "changed", "at one"), prior, true, true},
		{"other outcome", ending(checkpoint.Invalid, "expired", "at one"), prior, true, true},
		{"unchanged, and imported stands there", ending(unchanged, "", ""), checkpoint.Prior{Outcome: checkpoint.Imported}, true, false},
		{"unchanged, and something later stands there", ending(unchanged, "", ""), prior, true, true},
		{"imported by this run", ending(checkpoint.Imported, "", ""), checkpoint.Prior{Outcome: checkpoint.Imported}, true, false},
		{"failed stands there", ending(checkpoint.Failed, "refused", "no"), checkpoint.Prior{Outcome: checkpoint.Failed, Reason: "refused", Detail: "no"}, true, false},
		{"unknown stands there", ending(checkpoint.Unknown, "in_doubt", ""), checkpoint.Prior{Outcome: checkpoint.Unknown, Reason: "in_doubt"}, true, false},
	} {
		if got := needsRecord(c.r, c.prior, c.known); got != c.want {
			t.Errorf("%s: got %t, want %t", c.name, got, c.want)
		}
	}
}

func TestJudge_PassesOnErrors(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.failing = errors.New("away")
	j := testJudge(m, Policy{})
	if _, err := j.rows(t.Context(), []source.Row{userRow("1", "ada")}, j.hash.marks([]source.Row{userRow("1", "ada")}), j.byKey); !errors.Is(err, m.failing) {
		t.Errorf("got error %v, want %v", err, m.failing)
	}
	if key, claimed := j.claims.owner(itemOf(userRow("1", "ada")).identity); claimed {
		t.Errorf("a page that could not be judged left a claim of key %s", key)
	}
}

// A token that is recorded while a page is judged is seen in the checkpoint or among
// the claims: no claim is given up in between.
func TestJudge_ClaimsHoldWhileAPageIsJudged(t *testing.T) {
	t.Parallel()
	m := newMemory()
	j := testJudge(m, Policy{})
	sent := itemOf(userRow("1", "ada"))
	j.claim(sent.identity, sent.key)
	var recording sync.WaitGroup
	m.looked = func() { // and found nothing; now it is recorded
		recording.Go(func() { j.release(sent.identity, sent.key) })
		for range 1000 {
			runtime.Gosched()
		}
	}
	row := []source.Row{userRow("2", "ada")}
	rulings, err := j.rows(t.Context(), row, j.hash.marks(row), j.byKey)
	recording.Wait()
	if err != nil || rulings[0].ended != (standing{checkpoint.Invalid, reasonDuplicate}) {
		t.Errorf("got %+v and %v, want a duplicate", rulings, err)
	}
}

func TestJudge_SameSeesEveryChange(t *testing.T) {
	t.Parallel()
	j := testJudge(newMemory(), Policy{})
	row := userRow("1", "ada")
	it := itemOf(row)
	if !j.same(it, &row) {
		t.Error("a row that was read again without a change is not the same")
	}
	other := userRow("1", "ada", func(r *source.Row) { r.Token.AccessToken = userToken("b").AccessToken })
	if j.same(it, &other) {
		t.Error("a row with another access token is the same")
	}
}

// The dry run's view of calls in doubt: as the checkpoint once they are settled.
func TestSettledLookup_ForeseesDoubts(t *testing.T) {
	t.Parallel()
	m := newMemory()
	row, other := userRow("1", "ada"), userRow("2", "bob")
	m.imported(row)
	m.imported(other)
	sent := hashOf(77)
	s := &settledLookup{lookup: m, prior: map[string]checkpoint.Prior{
		"1": {Outcome: checkpoint.Unknown, Reason: "in_doubt", Fingerprint: sent},
		"9": {Outcome: checkpoint.Unknown, Reason: "in_doubt", Fingerprint: sent},
	}}
	priors, err := s.Priors(t.Context(), 1, []checkpoint.Asked{{Key: "1"}, {Key: "2"}, {Key: "3"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := priors[0]; got.Outcome != checkpoint.Unknown || got.Fingerprint != sent || got.Imported != itemOf(row).fingerprint {
		t.Errorf("got %+v, want it unknown with the fingerprint in doubt and the import kept", got)
	}
	if got := priors[1]; got != m.priors["2"] {
		t.Errorf("got %+v, want %+v untouched", got, m.priors["2"])
	}
	if priors[2] != (checkpoint.Prior{}) {
		t.Errorf("got %+v of a key that is not known, want nothing", priors[2])
	}
}

// shared is a memory in which keys may have been sent, or be on their way, for
// several identities.
type shared struct {
	*memory
	senders checkpoint.Owners
}

func (s shared) Owners(context.Context, int64, []checkpoint.Hash) (checkpoint.Owners, error) {
	return s.senders, nil
}

// A row that moved from one subject to another, and is on its way in a call of another
// shard, owns the one that it is for now, whichever of both is asked for last.
func TestJudge_AnOwnerThatMovedAndIsOnItsWay(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.rows["0"] = userRow("0", "bob")
	ada, bob := userRow("1", "ada"), userRow("2", "bob")
	known := shared{m, checkpoint.Owners{
		Sent:    map[checkpoint.Hash][]string{itemOf(ada).identity: {"0"}},
		Calling: map[checkpoint.Hash][]string{itemOf(bob).identity: {"0"}},
	}}
	for _, rows := range [][]source.Row{{ada, bob}, {bob, ada}} {
		j := testJudge(m, Policy{})
		j.known = known
		_, rulings := j.endings(t, rows...)
		for _, r := range rulings {
			if want := map[string]string{"1": "", "2": reasonDuplicate}[r.key]; r.ended.reason != want {
				t.Errorf("key %s, of %s first: got %+v, want %q", r.key, rows[0].Key, r.ended, want)
			}
		}
	}
}
