package migrate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tokenmigrate/migrate/connect"
)

// echo is the result of a token, with everything that an answer may repeat.
func echo(t *connect.Token, succeeded *bool) connect.Result {
	return connect.Result{
		Succeeded: succeeded, HasSubject: true, Subject: t.Subject, Environment: t.Environment,
		InstallationID: t.InstallationID, TenantID: t.Tenant.ID,
	}
}

// verdicts writes a matching as a line of + (true), - (false) and ? (nil).
func (m matching) verdicts() string {
	var b strings.Builder
	for _, s := range m.succeeded {
		switch {
		case s == nil:
			b.WriteByte('?')
		case *s:
			b.WriteByte('+')
		default:
			b.WriteByte('-')
		}
	}
	return b.String()
}

func TestMatch(t *testing.T) {
	t.Parallel()
	yes, no := new(true), new(false)
	ada, bob, cyd := userToken("ada"), userToken("bob"), userToken("cyd")
	preview := userToken("ada")
	preview.Environment = "preview"
	issued := userToken("ada")
	issued.Subject.Issuer = "https://one"
	installed := userToken("ada")
	installed.InstallationID, installed.Tenant.ID = "i-1", "t-1"
	other := userToken("ada")
	other.InstallationID, other.Tenant.ID = "i-2", "t-1"
	app := userToken("")
	app.Subject = connect.Subject{Type: connect.SubjectApp}
	edit := func(r connect.Result, change func(*connect.Result)) connect.Result { change(&r); return r }
	nameless := func(r *connect.Result) { r.HasSubject, r.Subject = false, connect.Subject{} }
	three := []connect.Token{ada, bob, cyd}
	for _, c := range []struct {
		name    string
		sent    []connect.Token
		results []connect.Result
		want    string
	}{
		{"in order", three, []connect.Result{echo(&ada, yes), echo(&bob, no), echo(&cyd, yes)}, "+-+"},
		{"in order, one without a word", three, []connect.Result{echo(&ada, yes), echo(&bob, nil), echo(&cyd, yes)}, "+?+"},
		{"shuffled", three, []connect.Result{echo(&cyd, no), echo(&ada, yes), echo(&bob, yes)}, "++-"},
		{"shuffled, one without a word", three, []connect.Result{echo(&cyd, nil), echo(&ada, yes), echo(&bob, no)}, "+-?"},
		{"none", three, nil, "???"},
		{"one missing", three, []connect.Result{echo(&ada, yes), echo(&cyd, no)}, "+?-"},
		{"one missing, another in its place", three, []connect.Result{echo(&ada, yes), echo(&cyd, no), echo(&cyd, no)}, "+?-"},
		{"repeated and agreeing", three, []connect.Result{echo(&ada, yes), echo(&ada, yes), echo(&bob, no), echo(&cyd, yes)}, "+-+"},
		{"repeated and contradicting", three, []connect.Result{echo(&ada, yes), echo(&ada, no), echo(&bob, no), echo(&cyd, yes)}, "?-+"},
		{"repeated, once without a word", three, []connect.Result{echo(&ada, yes), echo(&ada, nil), echo(&bob, no), echo(&cyd, yes)}, "?-+"},
		{"thrice, the last contradicts", []connect.Token{ada}, []connect.Result{echo(&ada, yes), echo(&ada, yes), echo(&ada, no)}, "?"},
		{"one foreign more", []connect.Token{ada, bob}, []connect.Result{echo(&cyd, yes), echo(&ada, yes), echo(&bob, no)}, "+-"},
		{"a foreign one in place of one", []connect.Token{ada, bob}, []connect.Result{echo(&ada, yes), echo(&cyd, yes)}, "+?"},
		{"only foreign ones", []connect.Token{ada, bob}, []connect.Result{echo(&cyd, yes), echo(&cyd, yes)}, "??"},

		{"without subjects, as many as sent", three[:2], []connect.Result{edit(echo(&ada, yes), nameless), edit(echo(&bob, yes), nameless)}, "??"},
		{"one without subject", three[:2], []connect.Result{edit(echo(&ada, yes), nameless), echo(&bob, yes)}, "?+"},
		{"an app, whose result has no subject", []connect.Token{app}, []connect.Result{edit(echo(&app, yes), nameless)}, "?"},
		{"an app", []connect.Token{app, ada}, []connect.Result{echo(&ada, no), echo(&app, yes)}, "+-"},
		{"an app answered as a user", []connect.Token{app}, []connect.Result{edit(echo(&app, yes), func(r *connect.Result) { r.Subject.Type = "user" })}, "?"},
		{"a subject's id in other spelling", []connect.Token{ada}, []connect.Result{edit(echo(&ada, yes), func(r *connect.Result) { r.Subject.ID = "ADA" })}, "?"},

		{"another environment", []connect.Token{ada}, []connect.Result{echo(&preview, yes)}, "?"},
		{"no environment", []connect.Token{ada}, []connect.Result{edit(echo(&ada, yes), func(r *connect.Result) { r.Environment = "" })}, "?"},
		{"told apart by environment", []connect.Token{ada, preview}, []connect.Result{echo(&preview, no), echo(&ada, yes)}, "+-"},

		{"issuer echoed", []connect.Token{issued}, []connect.Result{echo(&issued, yes)}, "+"},
		{"issuer not echoed", []connect.Token{issued}, []connect.Result{echo(&ada, yes)}, "?"},
		{"another issuer", []connect.Token{issued}, []connect.Result{edit(echo(&issued, yes), func(r *connect.Result) { r.Subject.Issuer = "https://two" })}, "?"},
		{"an issuer that was not sent", []connect.Token{ada}, []connect.Result{echo(&issued, yes)}, "+"},

		{"installation and tenant echoed", []connect.Token{installed}, []connect.Result{echo(&installed, yes)}, "+"},
		{"neither echoed", []connect.Token{installed}, []connect.Result{echo(&ada, yes)}, "+"},
		{"another installation", []connect.Token{installed}, []connect.Result{edit(echo(&installed, yes), func(r *connect.Result) { r.InstallationID = "i-2" })}, "?"},
		{"another tenant", []connect.Token{installed}, []connect.Result{edit(echo(&installed, yes), func(r *connect.Result) { r.TenantID = "t-2" })}, "?"},
		{"both though not sent", []connect.Token{ada}, []connect.Result{echo(&installed, no)}, "-"},

		{"one result that fits two tokens", []connect.Token{ada, installed, bob}, []connect.Result{echo(&bob, yes), echo(&ada, yes)}, "??+"},
		{"two installations that are not echoed, in order, one answer", []connect.Token{installed, other, bob}, []connect.Result{echo(&ada, yes), echo(&ada, yes), echo(&bob, no)}, "++-"},
		{"likewise, both refused", []connect.Token{bob, other, installed}, []connect.Result{echo(&bob, yes), echo(&ada, no), echo(&ada, no)}, "+--"},
		{"likewise, one of them refused: which one is a matter of order", []connect.Token{installed, other, bob}, []connect.Result{echo(&ada, yes), echo(&ada, no), echo(&bob, no)}, "??-"},
		{"likewise, one without a word", []connect.Token{installed, other, bob}, []connect.Result{echo(&ada, yes), echo(&ada, nil), echo(&bob, no)}, "??-"},
		{"likewise, in another order", []connect.Token{installed, other, bob}, []connect.Result{echo(&bob, no), echo(&ada, yes), echo(&ada, yes)}, "??-"},
		{"likewise, one missing, another twice", []connect.Token{installed, other, bob}, []connect.Result{echo(&ada, yes), echo(&bob, no), echo(&bob, no)}, "??-"},
		{"two installations, one echoed twice", []connect.Token{installed, other}, []connect.Result{echo(&installed, yes), echo(&installed, yes)}, "+?"},
		{"nothing sent, nothing answered", nil, nil, ""},
		{"nothing sent, something answered", nil, []connect.Result{echo(&ada, yes)}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := match(c.sent, c.results)
			if got := m.verdicts(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if want := strings.Count(c.want, "+") + strings.Count(c.want, "-"); m.named != want {
				t.Errorf("got %d named, want %d", m.named, want)
			}
		})
	}
}

// faults is what an answer may do besides coming in another order and leaving
// out what it need not echo.
type faults struct{ missing, repeated, foreign bool }

// scramble makes an answer of the true results of sent, shuffled three times in
// four, some without installation and tenant, with faults.
func scramble(rnd *rand.Rand, sent []connect.Token, truth []bool, f faults) []connect.Result {
	var results []connect.Result
	for i := range sent {
		times := 1
		switch dice := rnd.IntN(8); {
		case f.missing && dice == 0:
			times = 0
		case f.repeated && dice == 1:
			times = 2
		}
		for range times {
			r := echo(&sent[i], new(truth[i]))
			if rnd.IntN(2) == 0 {
				r.InstallationID, r.TenantID = "", ""
			}
			if f.missing && rnd.IntN(12) == 0 {
				r.Succeeded = nil
			}
			results = append(results, r)
		}
	}
	if f.foreign && rnd.IntN(2) == 0 {
		stranger := userToken(fmt.Sprint("stranger ", rnd.IntN(100)))
		results = append(results, echo(&stranger, new(rnd.IntN(2) == 0)))
	}
	if rnd.IntN(4) > 0 {
		rnd.Shuffle(len(results), func(i, j int) { results[i], results[j] = results[j], results[i] })
	}
	return results
}

func TestMatch_NeverGivesATokenAnothersWord(t *testing.T) {
	t.Parallel()
	named, all := 0, 0
	for seed := range uint64(4000) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		sent := make([]connect.Token, 1+rnd.IntN(12))
		truth := make([]bool, len(sent))
		for i := range sent {
			sent[i] = userToken(fmt.Sprint(i / 2))
			sent[i].Environment = []string{"production", "preview"}[i%2]
			truth[i] = rnd.IntN(2) == 0
		}
		results := scramble(rnd, sent, truth, faults{missing: true, repeated: true, foreign: true})
		m := match(sent, results)
		for i, s := range m.succeeded {
			if s != nil && *s != truth[i] {
				t.Fatalf("seed %d: token %d got %t, and its own result says %t", seed, i, *s, truth[i])
			}
		}
		named += m.named
		all += len(sent)
	}
	if named < all/2 {
		t.Errorf("only %d of %d tokens were told: the test proves little", named, all)
	}
}

// What every honest answer must give: any order, each result once.
func TestMatch_TellsEveryTokenOfAShuffledAnswer(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		rnd := rand.New(rand.NewPCG(seed, 4))
		sent := make([]connect.Token, 1+rnd.IntN(40))
		results := make([]connect.Result, len(sent))
		for i := range sent {
			sent[i] = userToken(fmt.Sprint(i))
			results[i] = echo(&sent[i], new(i%3 == 0))
		}
		rnd.Shuffle(len(results), func(i, j int) { results[i], results[j] = results[j], results[i] })
		m := match(sent, results)
		for i, s := range m.succeeded {
			if s == nil || *s != (i%3 == 0) {
				t.Fatalf("seed %d: token %d of %d: got %q, want %t", seed, i, len(sent), m.verdicts(), i%3 == 0)
			}
		}
	}
}

// Subject and environment are all that an answer must repeat. Users with tokens
// of several installations, tenants or issuers go through the chunker here, and
// through answers that leave out what is not required.
func TestMatch_NeverGivesATokenAnothersWordInAnyChunk(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]faults{
		"each answered once": {}, "some missing": {missing: true}, "some repeated": {repeated: true},
		"everything": {missing: true, repeated: true, foreign: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(3000) {
				rnd := rand.New(rand.NewPCG(seed, 5))
				packer := newChunker(6, 1<<20)
				var chunks []*chunk
				for n := range 12 {
					row := userRow(fmt.Sprint(n), fmt.Sprint(rnd.IntN(6)))
					row.Token.InstallationID = []string{"", "i-1", "i-2"}[rnd.IntN(3)]
					row.Token.Tenant.ID = []string{"", "t-1"}[rnd.IntN(2)]
					row.Token.Subject.Issuer = []string{"", "", "https://one"}[rnd.IntN(3)]
					if full := packer.add(itemOf(row), noon); full != nil {
						chunks = append(chunks, full)
					}
				}
				for _, c := range append(chunks, packer.flush()...) {
					judgeScrambled(t, rnd, c, f, seed)
				}
			}
		})
	}
}

func judgeScrambled(t *testing.T, rnd *rand.Rand, c *chunk, f faults, seed uint64) {
	t.Helper()
	sent := c.tokens()
	truth := make([]bool, len(sent))
	for i := range truth {
		truth[i] = rnd.IntN(2) == 0
	}
	results := scramble(rnd, sent, truth, f)
	for i, s := range match(sent, results).succeeded {
		if s == nil || *s == truth[i] {
			continue
		}
		var all strings.Builder
		for n := range sent {
			fmt.Fprintf(&all, "\n  sent %+v %q %q, true answer %t", sent[n].Subject, sent[n].InstallationID, sent[n].Tenant.ID, truth[n])
		}
		for n := range results {
			fmt.Fprintf(&all, "\n  said %+v %q %q: %s", results[n].Subject, results[n].InstallationID, results[n].TenantID, matching{succeeded: []*bool{results[n].Succeeded}}.verdicts())
		}
		t.Fatalf("seed %d: token %d of the chunk got %t, and its own result says %t:%s", seed, i, *s, truth[i], all.String())
	}
}

// FuzzMatch takes what to send and what to answer from the input: four bits a
// token's user, and a byte a result.
func FuzzMatch(f *testing.F) {
	f.Add([]byte{1, 2, 3}, []byte{1, 2, 3})
	f.Add([]byte{1, 2, 3}, []byte{0x83, 0x81, 0x82, 0x82})
	f.Fuzz(func(t *testing.T, users, answers []byte) {
		var sent []connect.Token
		for n := range slices.Values(slices.Compact(slices.Sorted(slices.Values(users)))) {
			sent = append(sent, userToken(fmt.Sprint(n&15, n>>7)))
		}
		sent = slices.CompactFunc(sent, func(a, b connect.Token) bool { return a.Subject == b.Subject })
		said := map[string]map[bool]bool{} // what was said of a user, at all
		var results []connect.Result
		for _, a := range answers {
			token := userToken(fmt.Sprint(a&15, a>>7))
			r := echo(&token, nil)
			if a&16 == 0 {
				r.Succeeded = new(a&32 == 0)
				if said[r.Subject.ID] == nil {
					said[r.Subject.ID] = map[bool]bool{}
				}
				said[r.Subject.ID][*r.Succeeded] = true
			}
			if a&64 != 0 {
				r.HasSubject, r.Subject = false, connect.Subject{}
			}
			results = append(results, r)
		}
		m := match(sent, results)
		named := 0
		for i, s := range m.succeeded {
			if s == nil {
				continue
			}
			named++
			if !said[sent[i].Subject.ID][*s] {
				t.Errorf("token of %s got %t, which nothing says", sent[i].Subject.ID, *s)
			}
		}
		if named != m.named || len(m.succeeded) != len(sent) {
			t.Errorf("got %d named and %d words, want %d and %d", m.named, len(m.succeeded), named, len(sent))
		}
	})
}
