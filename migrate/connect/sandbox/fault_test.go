package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestParseFault(t *testing.T) {
	for _, c := range []struct {
		text string
		want Fault
	}{
		{"500", Fault{Kind: Status, Status: 500}},
		{"500=4%", Fault{Kind: Status, Status: 500, Share: 0.04}},
		{"504+import=3.5%", Fault{Kind: Status, Status: 504, Imports: true, Share: 0.035}},
		{"503:0=1/5", Fault{Kind: Status, Status: 503, RetryAfter: "0", Every: 5}},
		{"202=#1,#7,2%", Fault{Kind: Status, Status: 202, Calls: []int{1, 7}, Share: 0.02}},
		{"reset-after-import=3%", Fault{Kind: ResetAfterImport, Share: 0.03}},
		{"silent-limit:120", Fault{Kind: SilentLimit, N: 120}},
		{"hang:5s+import=#2", Fault{Kind: Hang, Delay: 5 * time.Second, Imports: true, Calls: []int{2}}},
		{"echo-credentials:422", Fault{Kind: EchoCredentials, Status: 422}},
	} {
		got, err := ParseFault(c.text)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, %v, want %+v", c.text, got, err, c.want)
			continue
		}
		if again, err := ParseFault(got.String()); err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%s: its String %q reads as %+v, %v", c.text, got.String(), again, err)
		}
	}
	for _, c := range []struct{ text, want string }{
		{"", "no fault has the name"}, {"status", "no fault has the name"}, {"rest", "use a status code or one of: echo-credentials,"},
		{"99", "between 200 and 599"}, {"600", "between 200 and 599"}, {"echo-credentials:200", "between 400 and 599"},
		{"500=", "names no calls"}, {"500=0%", "names no calls"}, {"500=101%", "names no calls"}, {"500=NaN%", "names no calls"},
		{"500=1/0", "names no calls"}, {"500=#0", "names no calls"}, {"500=3", "names no calls"},
		{"shuffled:3", "takes no argument"}, {"shuffled+import", "takes no +import"}, {"hang:x", `"x" is no DURATION`},
		{"silent-limit", "such as silent-limit:120"}, {"silent-limit:-1", "such as silent-limit:120"},
	} {
		if f, err := ParseFault(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %+v, %v, want an error with %q", c.text, f, err, c.want)
		}
	}
}

// Every kind must be known to --help, and be playable.
func TestFaultHelp_NamesEveryKind(t *testing.T) {
	help := FaultHelp()
	for _, in := range kinds {
		if !strings.Contains(help, "  "+string(in.kind)) {
			t.Errorf("the help does not name %s", in.kind)
		}
	}
}

// stored is how many of the subjects u0... the server holds.
func stored(s *Server) int { return len(s.Imported()) }

func TestServer_Statuses(t *testing.T) {
	for _, status := range []int{400, 401, 402, 403, 404, 405, 408, 409, 410, 413, 415, 422, 425, 429, 500, 502, 503, 504} {
		for _, imports := range []bool{false, true} {
			f := Fault{Kind: Status, Status: status, Imports: imports, RetryAfter: "7"}
			t.Run(f.name(), func(t *testing.T) {
				s, url := start(t, Options{Faults: []Fault{f}})
				r := post(t, url, toks(3))
				if r.status != status || r.header.Get("Retry-After") != "7" || r.code(t) != statusCode(status) {
					t.Errorf("got %d, Retry-After %q, code %q", r.status, r.header.Get("Retry-After"), r.code(t))
				}
				want := 0
				if imports {
					want = 3
				}
				if got := stored(s); got != want {
					t.Errorf("got %d tokens imported, want %d", got, want)
				}
				c := s.Audit().Calls[0]
				if c.Status != status || !slices.Equal(c.Faults, []string{f.name()}) || len(c.Tokens) != 3 || c.Tokens[0].Imported != imports || c.Tokens[0].Answered != NoVerdict {
					t.Errorf("got audit %+v", c)
				}
			})
		}
	}
	t.Run("own body", func(t *testing.T) {
		_, url := start(t, Options{Faults: []Fault{{Kind: Status, Status: 502, Body: "<html>bad gateway"}}})
		if r := post(t, url, toks(1)); r.text != "<html>bad gateway" || !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") {
			t.Errorf("got %q as %s", r.text, r.header.Get("Content-Type"))
		}
	})
	for _, status := range []int{301, 302, 303, 307, 308} {
		s, url := start(t, Options{Faults: []Fault{{Kind: Status, Status: status}}})
		if r := post(t, url, toks(1)); r.status != status || r.header.Get("Location") != "/redirected"+slackPath {
			t.Errorf("got %d to %q, want %d to the audited place", r.status, r.header.Get("Location"), status)
		}
		if r := send(t, "POST", url+"/redirected"+slackPath, toks(1)); r.status != 404 || stored(s) != 0 || len(s.Audit().Calls) != 2 {
			t.Errorf("the redirect's goal: got %d, %d imported, %d calls", r.status, stored(s), len(s.Audit().Calls))
		}
	}
	for _, status := range []int{201, 202, 204, 205, 207} {
		s, url := start(t, Options{Faults: []Fault{{Kind: Status, Status: status}}})
		r := post(t, url, toks(3))
		if r.status != status || r.err != nil || stored(s) != 3 {
			t.Errorf("got %d, %v, %d imported; want %d and 3", r.status, r.err, stored(s), status)
		}
		said := s.Audit().Calls[0].Tokens[0].Answered
		if bodiless := status == 204 || status == 205; bodiless != (r.text == "") || bodiless != (said == NoVerdict) {
			t.Errorf("%d: got body %q and verdict %v", status, r.text, said)
		}
	}
}

func TestServer_LosesAnswers(t *testing.T) {
	reset := func(err error) bool { return errors.Is(err, syscall.ECONNRESET) }
	cut := func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }
	for _, c := range []struct {
		kind     Kind
		imported int
		sent     int // tokens the audit saw
		status   int
		lost     func(error) bool
	}{
		{ResetBeforeBody, 0, 0, 0, reset},
		{ResetInBody, 0, 0, 0, reset},
		{ResetAfterBody, 0, 3, 0, reset},
		{ResetAfterImport, 3, 3, 0, reset},
		{CutBody, 3, 3, 200, cut},
		{ResetInAnswer, 3, 3, 200, func(err error) bool { return reset(err) || cut(err) }},
	} {
		t.Run(string(c.kind), func(t *testing.T) {
			s, url := start(t, Options{Faults: []Fault{{Kind: c.kind, Times: 1}}})
			if r := post(t, url, toks(3)); !c.lost(r.err) {
				t.Errorf("got status %d, error %v", r.status, r.err)
			}
			a := s.Audit()
			if got := a.Calls[0]; len(a.Imported) != c.imported || len(got.Tokens) != c.sent || got.Status != c.status {
				t.Errorf("got %d imported, %d sent, status %d, want %+v", len(a.Imported), len(got.Tokens), got.Status, c)
			}
			for _, tk := range a.Calls[0].Tokens {
				if tk.Answered != NoVerdict || tk.Imported != (c.imported > 0) {
					t.Errorf("got %+v", tk)
				}
			}
			if got := post(t, url, toks(3)).answer(t); got.Imported != 3 {
				t.Errorf("the call after it: got %+v", got)
			}
		})
	}
}

// A reset must reach a client that is still writing its body.
func TestServer_ResetsInLargeBody(t *testing.T) {
	_, url := start(t, Options{MaxBytes: 64 << 20, Faults: []Fault{{Kind: ResetInBody}}})
	r := post(t, url, body(with("name", `"`+strings.Repeat("n", 8<<20)+`"`)))
	// Which end of the client notices first decides what it says.
	if r.err == nil || errors.Is(r.err, context.DeadlineExceeded) {
		t.Errorf("got %d, %v, want a lost connection", r.status, r.err)
	}
}

func TestServer_AnswersUnreadably(t *testing.T) {
	for _, c := range []struct {
		kind Kind
		want string
	}{{EmptyBody, ""}, {NotJSON, "<!doctype html>"}, {OtherJSON, `{"data"`}} {
		s, url := start(t, Options{Faults: []Fault{{Kind: c.kind}}})
		r := post(t, url, toks(2))
		if r.status != 200 || r.err != nil || !strings.HasPrefix(r.text, c.want) || (c.want == "") != (r.text == "") || stored(s) != 2 {
			t.Errorf("%s: got %d, %v, %q, %d imported", c.kind, r.status, r.err, r.text, stored(s))
		}
	}
}

func TestServer_HangsUntilTheClientLeaves(t *testing.T) {
	for _, imports := range []bool{false, true} {
		s, url := start(t, Options{Faults: []Fault{{Kind: Hang, Imports: imports}}})
		client := &http.Client{Timeout: 100 * time.Millisecond}
		req, _ := http.NewRequest("POST", url+slackPath, strings.NewReader(toks(2)))
		req.Header.Set("Authorization", "Bearer x")
		req.Header.Set("Content-Type", "application/json")
		if res, err := client.Do(req); err == nil {
			t.Errorf("got %s, want a timeout", res.Status)
		}
		if got := stored(s); (got == 2) != imports {
			t.Errorf("imports %v: got %d imported", imports, got)
		}
		s.Close() // waits for the call's end
	}
}

func TestServer_CloseEndsHangs(t *testing.T) {
	s, url := start(t, Options{Faults: []Fault{{Kind: Hang, Imports: true}}})
	lost := make(chan error)
	go func() { lost <- post(t, url, toks(1)).err }()
	for stored(s) == 0 {
		time.Sleep(time.Millisecond) // polling another goroutine over a real socket
	}
	s.Close()
	if err := <-lost; err == nil {
		t.Error("got an answer, want a lost one")
	}
}

func TestServer_DelaysAnswers(t *testing.T) {
	for name, o := range map[string]Options{
		"latency":      {Latency: 40 * time.Millisecond, Jitter: time.Millisecond},
		"slow body":    {Faults: []Fault{{Kind: SlowBody, Delay: 60 * time.Millisecond}}},
		"hang":         {Faults: []Fault{{Kind: Hang, Delay: 40 * time.Millisecond}}},
		"hang, import": {Faults: []Fault{{Kind: Hang, Delay: 40 * time.Millisecond, Imports: true}}},
	} {
		s, url := start(t, o)
		before := time.Now()
		if a := post(t, url, toks(30)).answer(t); a.Imported != 30 {
			t.Errorf("%s: got %d imported, want 30", name, a.Imported)
		}
		if took := time.Since(before); took < 40*time.Millisecond {
			t.Errorf("%s: took %v, want at least 40ms", name, took)
		}
		if sum := s.Summary(); sum.Repeated != 0 {
			t.Errorf("%s: got %d tokens imported twice", name, sum.Repeated)
		}
	}
}

func TestServer_FloodsAnswers(t *testing.T) {
	_, url := start(t, Options{Faults: []Fault{{Kind: LargeBody, N: 200_000}}})
	r := post(t, url, toks(2))
	if a := r.answer(t); a.Imported != 2 || len(r.text) < 200_000 {
		t.Errorf("got %d imported in %d bytes", a.Imported, len(r.text))
	}
}

// subjects returns the ids an answer names, "-" for none.
func subjects(a importAnswer) []string {
	list := make([]string, len(a.Tokens))
	for i, r := range a.Tokens {
		list[i] = "-"
		if s, ok := r["subject"].(map[string]any); ok {
			list[i] = fmt.Sprint(s["id"])
		}
	}
	return list
}

func TestServer_SpoilsResults(t *testing.T) {
	const n = 9
	inOrder := make([]string, n)
	for i := range inOrder {
		inOrder[i] = fmt.Sprintf("u%d", i)
	}
	count := func(list []string, s string) (c int) {
		for _, x := range list {
			if strings.HasPrefix(x, s) {
				c++
			}
		}
		return c
	}
	for _, c := range []struct {
		kind  Kind
		holds func(a importAnswer, ids []string) bool
		said  int // tokens of which the answer tells a verdict
	}{
		{"", func(a importAnswer, ids []string) bool { return slices.Equal(ids, inOrder) && a.Imported == n }, n},
		{Shuffled, func(a importAnswer, ids []string) bool {
			moved := !slices.Equal(ids, inOrder)
			slices.Sort(ids)
			return moved && slices.Equal(ids, inOrder) && a.Imported == n
		}, n},
		{TruncatedResults, func(a importAnswer, ids []string) bool { return slices.Equal(ids, inOrder[:4]) && a.Imported == n }, 4},
		{MissingResults, func(a importAnswer, ids []string) bool { return len(ids) == 6 && slices.IsSorted(ids) }, 6},
		{NoResults, func(a importAnswer, ids []string) bool { return len(ids) == 0 && a.Accepted == n }, 0},
		{RepeatedResults, func(a importAnswer, ids []string) bool {
			return len(ids) == 12 && slices.Equal(slices.Compact(ids), inOrder)
		}, n},
		{ContradictingResults, func(a importAnswer, ids []string) bool {
			no := 0
			for _, r := range a.Tokens {
				if r["succeeded"] == false {
					no++
				}
			}
			return len(ids) == 12 && no == 3
		}, 6},
		{ExtraResults, func(a importAnswer, ids []string) bool { return len(ids) == n+1 && count(ids, "sandbox-foreign") == 1 }, n},
		{ForeignResults, func(a importAnswer, ids []string) bool { return len(ids) == n && count(ids, "sandbox-foreign") == 3 }, 6},
		{WithoutSubject, func(a importAnswer, ids []string) bool { return len(ids) == n && count(ids, "-") == n }, 0},
		{WithoutSucceeded, func(a importAnswer, ids []string) bool { _, has := a.Tokens[0]["succeeded"]; return !has }, 0},
		{SucceededAsText, func(a importAnswer, ids []string) bool { return a.Tokens[0]["succeeded"] == "true" }, 0},
		{MiscountedImported, func(a importAnswer, ids []string) bool { return len(ids) == n && a.Imported == n-1 }, n},
		{BareResults, func(a importAnswer, ids []string) bool { return len(a.Tokens[0]) == 4 }, n},
		{NovelFields, func(a importAnswer, ids []string) bool { return a.Tokens[0]["claims"] != nil }, n},
	} {
		t.Run(string(c.kind), func(t *testing.T) {
			o := Options{Seed: 5}
			if c.kind != "" {
				o.Faults = []Fault{{Kind: c.kind}}
			}
			s, url := start(t, o)
			list := make([]string, n)
			for i := range list {
				list[i] = strings.Replace(tok(inOrder[i]), `"environment"`, `"name":"n","environment"`, 1)
			}
			a := post(t, url, body(list...)).answer(t)
			if !c.holds(a, subjects(a)) {
				t.Errorf("got accepted %d, imported %d, subjects %v, first %v", a.Accepted, a.Imported, subjects(a), a.Tokens)
			}
			if stored(s) != n {
				t.Errorf("got %d imported, want all", stored(s))
			}
			said := 0
			for _, tk := range s.Audit().Calls[0].Tokens {
				if tk.Answered != NoVerdict {
					said++
				}
			}
			if said != c.said {
				t.Errorf("the audit has %d verdicts, want %d", said, c.said)
			}
		})
	}
}

func TestServer_SilentLimit(t *testing.T) {
	for _, c := range []struct {
		kind         Kind
		listed, nays int
	}{{SilentLimit, 4, 0}, {SilentLimitRefused, 10, 6}} {
		s, url := start(t, Options{Faults: []Fault{{Kind: c.kind, N: 4}}})
		a := post(t, url, toks(10)).answer(t)
		nays := 0
		for _, r := range a.Tokens {
			if r["succeeded"] == false {
				nays++
			}
		}
		if len(a.Tokens) != c.listed || nays != c.nays || a.Imported != 4 || stored(s) != 4 {
			t.Errorf("%s: got %d listed, %d refused, %d imported, %d stored", c.kind, len(a.Tokens), nays, a.Imported, stored(s))
		}
		if a := post(t, url, toks(3)).answer(t); a.Imported != 3 || len(a.Tokens) != 3 {
			t.Errorf("%s: a small call: got %+v", c.kind, a)
		}
	}
}

func TestServer_EchoesCredentialsOnRequest(t *testing.T) {
	s, url := start(t, Options{Faults: []Fault{{Kind: EchoCredentials, Status: 422}}})
	r := post(t, url, toks(1))
	for _, want := range []string{"credential-of-the-test", "access-of-u0", "refresh-of-u0", "dXNlcjphY2Nlc3Mtb2YtdTA="} {
		if !strings.Contains(r.text, want) {
			t.Errorf("got %s, want it to hold %s", r.text, want)
		}
	}
	if r.status != 422 || stored(s) != 0 {
		t.Errorf("got %d, %d imported", r.status, stored(s))
	}
}

func TestServer_FaultsFallToCalls(t *testing.T) {
	statuses := func(o Options, calls int) (list []int) {
		_, url := start(t, o)
		for i := range calls {
			list = append(list, post(t, url, body(tok(fmt.Sprintf("u%d", i)))).status)
		}
		return list
	}
	mk := func(text string) Fault {
		f, err := ParseFault(text)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for _, c := range []struct {
		name   string
		faults []Fault
		want   []int
	}{
		{"numbers", []Fault{mk("500=#1,#3")}, []int{500, 200, 500, 200}},
		{"each second", []Fault{mk("500=1/2")}, []int{200, 500, 200, 500}},
		{"first ending wins", []Fault{mk("502=#2"), mk("500=1/2")}, []int{200, 502, 200, 500}},
		{"times", []Fault{{Kind: Status, Status: 503, Times: 2}}, []int{503, 503, 200, 200}},
		{"subject", []Fault{{Kind: Status, Status: 500, Subject: "u2"}}, []int{200, 200, 500, 200}},
		{"connector", []Fault{{Kind: Status, Status: 500, Connector: "github"}}, []int{200, 200, 200, 200}},
		{"ending and shape", []Fault{mk("shuffled"), mk("500=#2"), mk("no-results")}, []int{200, 500, 200, 200}},
	} {
		if got := statuses(Options{Faults: c.faults}, 4); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}

	shares := []Fault{mk("500=30%"), mk("503=20%"), mk("429=10%")}
	a, b := statuses(Options{Faults: shares, Seed: 1}, 60), statuses(Options{Faults: shares, Seed: 1}, 60)
	if !slices.Equal(a, b) {
		t.Errorf("the same seed: got %v and %v", a, b)
	}
	if c := statuses(Options{Faults: shares, Seed: 2}, 60); slices.Equal(a, c) {
		t.Errorf("another seed: got %v again", c)
	}
}

// Each ending has its own share, whatever its place in the list.
func TestPlaybill_KeepsShares(t *testing.T) {
	var b playbill
	b.set([]Fault{
		{Kind: Status, Status: 500, Share: 0.04}, {Kind: Status, Status: 504, Share: 0.07}, {Kind: Hang, Share: 0.03},
		{Kind: Shuffled, Share: 0.25}, {Kind: MissingResults, Share: 0.1},
	})
	const n = 40_000
	got := map[string]float64{}
	for range n {
		p := b.next("c")
		ending, shapes := b.settle(p, nil)
		if ending != nil {
			got[ending.name] += 1. / n
		}
		for _, f := range shapes {
			got[f.name] += 1. / n
		}
	}
	for name, want := range map[string]float64{"500": 0.04, "504": 0.07, "hang": 0.03, "shuffled": 0.25, "missing-results": 0.1} {
		if d := got[name] - want; d > 0.008 || d < -0.008 {
			t.Errorf("%s: got a share of %.4f, want %.4f", name, got[name], want)
		}
	}
}

func TestServer_SetFaults(t *testing.T) {
	s, url := start(t, Options{Faults: []Fault{{Kind: Status, Status: 503}}})
	if r := post(t, url, toks(1)); r.status != 503 {
		t.Errorf("got %d, want 503", r.status)
	}
	if err := s.SetFaults([]Fault{{Kind: Status, Status: 50}}); err == nil {
		t.Error("got no error for the status 50")
	}
	if err := s.SetFaults([]Fault{{Kind: Status, Status: 500, Calls: []int{3}}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{200, 500, 200} {
		if r := post(t, url, toks(1)); r.status != want {
			t.Errorf("got %d, want %d", r.status, want)
		}
	}
}
