package checkpoint

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
)

func TestLookup_TellsWhatIsKnown(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.call(imported("a"), refused("b"))
	changed := refused("a")
	changed.Fingerprint, changed.Reason = hash("new"), "rejected"
	b.call(changed)
	b.record(Batch{Locals: []Local{{Key: "l", Outcome: Invalid, Reason: "missing_subject", Detail: "why"}}})
	other := begin(t, b.Store, "other", "first")
	other.call(imported("elsewhere"))

	priors, owners := b.lookUp(t, b.lease.Migration, []string{"a", "b", "l", "absent", "elsewhere", "a"}, []Hash{hash("ia"), hash("ib"), hash("absent"), hash("ielsewhere"), {}})
	want := map[string]Prior{
		"a": {Connector: "slack/acme", Environment: "production", Succeeded: new(false), Outcome: Failed, Reason: "rejected", Detail: "no", Attempts: 2, Fingerprint: hash("new"), Identity: hash("ia"), Imported: hash("fa"), RunID: b.run},
		"b": {Connector: "slack/acme", Environment: "production", Succeeded: new(false), Outcome: Failed, Reason: "refused", Detail: "no", Attempts: 1, Fingerprint: hash("fb"), Identity: hash("ib"), RunID: b.run},
		"l": {Outcome: Invalid, Reason: "missing_subject", Detail: "why", RunID: b.run},
	}
	if !reflect.DeepEqual(priors, want) {
		t.Errorf("priors: got %+v, want %+v", priors, want)
	}
	if got, want := fmt.Sprint(owners), fmt.Sprint(map[Hash][]string{hash("ia"): {"a"}, hash("ib"): {"b"}}); got != want {
		t.Errorf("owners: got %v, want %v", got, want)
	}
	if priors, owners = b.lookUp(t, b.lease.Migration, nil, nil); owners == nil || len(priors)+len(owners) != 0 {
		t.Errorf("nothing asked: got %v, %v, want nothing", priors, owners)
	}
}

func TestLookup_TheEarliestImportOwns(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one := func(e Ending) Ending { e.Identity = hash("one"); return e }
	owners := func(want ...string) {
		t.Helper()
		_, owners := b.lookUp(t, b.lease.Migration, nil, []Hash{hash("one")})
		if got := owners[hash("one")]; !slices.Equal(got, want) {
			t.Errorf("owners: got %q, want %q", got, want)
		}
	}
	owners()
	b.call(one(refused("m")))
	b.call(one(refused("k")))
	owners("k", "m") // none was imported: by key
	b.call(one(imported("z")))
	owners("z", "k", "m") // an import beats the rest
	b.call(one(imported("b")))
	owners("z", "b", "k", "m") // and a later import does not beat it
	moved := imported("z")
	moved.Identity = hash("two")
	b.call(moved)
	owners("b", "k", "m") // unless the owner has moved
}

func TestLookup_ThousandKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var endings []Ending
	var keys []string
	var identities []Hash
	for i := range 1000 {
		key := fmt.Sprintf("%04d", i)
		keys, identities = append(keys, key), append(identities, hash("i"+key))
		if i%2 == 0 {
			endings = append(endings, imported(key))
		}
	}
	b.call(endings...)
	priors, owners := b.lookUp(t, b.lease.Migration, keys, identities)
	for i, key := range keys {
		p, ok := priors[key]
		if ok != (i%2 == 0) || ok && (p.Fingerprint != hash("f"+key) || p.Imported != hash("f"+key) || !slices.Equal(owners[identities[i]], []string{key})) {
			t.Fatalf("%s: got %+v (there: %t), owner %q", key, p, ok, owners[identities[i]])
		}
	}
	if len(priors) != 500 || len(owners) != 500 {
		t.Errorf("got %d keys and %d owners, want 500 each", len(priors), len(owners))
	}
}

// Of what was imported as it is now, no more is told than that.
func TestPriors_OfWhatIsSettled(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if blank, err := b.Blank(t.Context(), b.lease.Migration); err != nil || !blank {
		t.Errorf("Blank before: got %v, %v", blank, err)
	}
	b.call(imported("a"), imported("b"), refused("c"))
	b.call(refused("b"))
	asked := []Asked{{"c", hash("fc")}, {"a", hash("fa")}, {"absent", hash("fa")}, {"a", hash("other")}, {"b", hash("fb")}, {"a", Hash{}}}
	got, err := b.Priors(t.Context(), b.lease.Migration, asked)
	must(t, err)
	full := Prior{Connector: "slack/acme", Environment: "production", Succeeded: new(true), Outcome: Imported, Attempts: 1, Fingerprint: hash("fa"), Identity: hash("ia"), Imported: hash("fa"), RunID: b.run}
	if want := (Prior{Outcome: Imported, Imported: hash("fa"), RunID: b.run}); got[1] != want {
		t.Errorf("settled: got %+v, want %+v", got[1], want)
	}
	for _, i := range []int{3, 5} {
		if !reflect.DeepEqual(got[i], full) {
			t.Errorf("%+v: got %+v, want %+v", asked[i], got[i], full)
		}
	}
	if got[0].Outcome != Failed || got[0].Reason != "refused" || got[2] != (Prior{}) || got[4].Outcome != Failed || got[4].Imported != hash("fb") {
		t.Errorf("got %+v, %+v and %+v; want c and b refused, b imported before, and nothing", got[0], got[2], got[4])
	}
	if blank, err := b.Blank(t.Context(), b.lease.Migration); err != nil || blank {
		t.Errorf("Blank after: got %v, %v", blank, err)
	}
	other := begin(t, b.Store, "other", "first")
	other.record(Batch{Intents: []Intent{intent(imported("x"))}})
	if blank, err := b.Blank(t.Context(), other.lease.Migration); err != nil || blank {
		t.Errorf("Blank while a call stands: got %v, %v", blank, err)
	}
}
