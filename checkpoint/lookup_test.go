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

	priors, owners, err := b.Lookup(t.Context(), b.lease.Migration,
		[]string{"a", "b", "l", "absent", "elsewhere", "a"}, []Hash{hash("ia"), hash("ib"), hash("absent"), hash("ielsewhere"), {}})
	must(t, err)
	want := map[string]Prior{
		"a": {Connector: "slack/acme", Environment: "production", Succeeded: new(false), Outcome: Failed, Reason: "rejected", Detail: "no", Attempts: 2, Fingerprint: hash("new"), Imported: hash("fa"), RunID: b.run},
		"b": {Connector: "slack/acme", Environment: "production", Succeeded: new(false), Outcome: Failed, Reason: "refused", Detail: "no", Attempts: 1, Fingerprint: hash("fb"), RunID: b.run},
		"l": {Outcome: Invalid, Reason: "missing_subject", Detail: "why", RunID: b.run},
	}
	if !reflect.DeepEqual(priors, want) {
		t.Errorf("priors: got %+v, want %+v", priors, want)
	}
	if got, want := fmt.Sprint(owners), fmt.Sprint(map[Hash][]string{hash("ia"): {"a"}, hash("ib"): {"b"}}); got != want {
		t.Errorf("owners: got %v, want %v", got, want)
	}
	priors, owners, err = b.Lookup(t.Context(), b.lease.Migration, nil, nil)
	if err != nil || priors == nil || owners == nil || len(priors)+len(owners) != 0 {
		t.Errorf("nothing asked: got %v, %v, %v, want empty maps", priors, owners, err)
	}
}

func TestLookup_TheEarliestImportOwns(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one := func(e Ending) Ending { e.Identity = hash("one"); return e }
	owners := func(want ...string) {
		t.Helper()
		_, owners, err := b.Lookup(t.Context(), b.lease.Migration, nil, []Hash{hash("one")})
		must(t, err)
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
	priors, owners, err := b.Lookup(t.Context(), b.lease.Migration, keys, identities)
	must(t, err)
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
