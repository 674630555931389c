package sandbox

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// An answer is what a 2xx says, before it is spoilt.
type answer struct {
	accepted, imported int
	results            []result
}

// result is one element of the answer's tokens.
type result struct {
	token     int // index in the request
	succeeded bool
	foreign   bool // names a subject that was not sent
}

// importTokens puts the tokens into the store and returns the honest answer:
// the results in the order of the request.
func (x *exchange) importTokens(req *request, shapes []*scheduled) answer {
	most, listed := len(req.tokens), len(req.tokens)
	for _, f := range shapes {
		switch f.Kind {
		case SilentLimit:
			most = min(most, f.N)
			listed = min(listed, f.N)
		case SilentLimitRefused:
			most = min(most, f.N)
		}
	}
	a := answer{accepted: listed, results: make([]result, listed)}
	keep := make([]bool, len(req.tokens))
	for i := range a.results {
		keep[i] = i < most && !x.s.opts.refuses(&req.tokens[i])
		a.results[i] = result{token: i, succeeded: keep[i]}
		if keep[i] {
			a.imported++
		}
	}
	x.s.journal.store(&x.call, req.tokens, keep)
	return a
}

// style is how results are written.
type style struct {
	noSubject, noSucceeded, asText, bare, novel bool
}

// spoil applies the shapes that play on results.
func (a *answer) spoil(shapes []*scheduled, rnd *rand.Rand) (st style) {
	for _, f := range shapes {
		n := len(a.results)
		switch f.Kind {
		case Shuffled:
			shuffle(a.results, rnd)
		case TruncatedResults:
			a.results = a.results[:n/2]
		case NoResults:
			a.results = nil
		case MissingResults:
			drop := someOf(n, rnd)
			var kept []result
			for i, r := range a.results {
				if !drop[i] {
					kept = append(kept, r)
				}
			}
			a.results = kept
		case RepeatedResults, ContradictingResults:
			twice := someOf(n, rnd)
			var all []result
			for i, r := range a.results {
				all = append(all, r)
				if twice[i] {
					r.succeeded = r.succeeded != (f.Kind == ContradictingResults)
					all = append(all, r)
				}
			}
			a.results = all
		case ForeignResults:
			for i := range someOf(n, rnd) {
				a.results[i].foreign = true
			}
		case ExtraResults:
			if n > 0 {
				a.results = append(a.results, result{token: a.results[0].token, succeeded: true, foreign: true})
			}
		case MiscountedImported:
			if a.imported > 0 {
				a.imported--
			} else {
				a.imported++
			}
		case WithoutSubject:
			st.noSubject = true
		case WithoutSucceeded:
			st.noSucceeded = true
		case SucceededAsText:
			st.asText = true
		case BareResults:
			st.bare = true
		case NovelFields:
			st.novel = true
		}
	}
	return st
}

// someOf picks about a third of the numbers below n, at least one where n > 0.
func someOf(n int, rnd *rand.Rand) map[int]bool {
	picked := map[int]bool{}
	for _, i := range rnd.Perm(n)[:(n+2)/3] {
		picked[i] = true
	}
	return picked
}

// shuffle changes the order, for certain where there are two results or more.
func shuffle(list []result, rnd *rand.Rand) {
	before := slices.Clone(list)
	rnd.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	if len(list) > 1 && slices.Equal(before, list) {
		list[0], list[1] = list[1], list[0]
	}
}

// verdicts returns what a reader of the whole answer learns of each token.
func (a *answer) verdicts(tokens int, st style) []Verdict {
	list := make([]Verdict, tokens)
	if st.noSubject || st.noSucceeded || st.asText {
		return list
	}
	both := make(map[int]bool) // and whatever it says a third time
	for _, r := range a.results {
		if r.foreign {
			continue
		}
		v := No
		if r.succeeded {
			v = Yes
		}
		if old := list[r.token]; old != NoVerdict && old != v {
			both[r.token] = true
		}
		list[r.token] = v
	}
	for token := range both {
		list[token] = NoVerdict
	}
	return list
}

// write appends the answer as JSON.
func (a *answer) write(b *bytes.Buffer, req *request, st style) {
	b.WriteString(`{"accepted":`)
	b.WriteString(strconv.Itoa(a.accepted))
	b.WriteString(`,"imported":`)
	b.WriteString(strconv.Itoa(a.imported))
	if st.novel {
		b.WriteString(`,"requestId":"req_sandbox","warnings":[{"level":1}]`)
	}
	b.WriteString(`,"tokens":[`)
	for i, r := range a.results {
		if i > 0 {
			b.WriteByte(',')
		}
		r.write(b, req, st)
	}
	b.WriteString(`]}`)
}

func (r result) write(b *bytes.Buffer, req *request, st style) {
	t := &req.tokens[r.token]
	b.WriteString(`{"environment":`)
	b.WriteString(t.rawEnvironment)
	b.WriteString(`,"expiresAt":`)
	b.WriteString(t.rawExpiresAt)
	switch {
	case st.noSubject:
	case r.foreign:
		b.WriteString(`,"subject":{"type":"user","id":"sandbox-foreign-`)
		b.WriteString(strconv.Itoa(r.token))
		b.WriteString(`"}`)
	default:
		b.WriteString(`,"subject":`)
		b.WriteString(t.rawSubject)
	}
	if !st.bare {
		b.Write(req.echo[t.restFrom:t.restTo])
	}
	if st.novel {
		b.WriteString(`,"expiresIn":3600,"claims":{"sub":["a"]},"state":null`)
	}
	said := strconv.FormatBool(r.succeeded)
	switch {
	case st.noSucceeded:
	case st.asText:
		b.WriteString(`,"succeeded":"` + said + `"`)
	default:
		b.WriteString(`,"succeeded":` + said)
	}
	b.WriteByte('}')
}

// answer writes the 2xx of a call whose tokens were imported, as the shapes and
// the ending, nil for none, have it.
func (x *exchange) answer(req *request, a answer, rnd *rand.Rand, ending *scheduled, shapes []*scheduled) {
	st := a.spoil(shapes, rnd)
	buf := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(buf)
	buf.Reset()
	a.write(buf, req, st)
	const asJSON = "application/json; charset=utf-8"
	kind, status := Kind(""), http.StatusOK
	if ending != nil {
		kind = ending.Kind
	}
	switch kind {
	case EmptyBody:
		x.answerBody(status, asJSON, nil)
		return
	case NotJSON:
		x.answerBody(status, "text/html; charset=utf-8", []byte("<!doctype html><title>Welcome</title><p>All is well."))
		return
	case OtherJSON:
		x.answerBody(status, asJSON, []byte(`{"data":[{"ok":true}],"tokens":{"imported":"all"}}`))
		return
	case CutBody, ResetInAnswer:
		x.answerHalf(kind, buf.Bytes())
		return
	case Status:
		status = ending.Status
		if status == http.StatusNoContent || status == http.StatusResetContent {
			x.settle(status)
			x.w.WriteHeader(status)
			return
		}
	}
	x.settle(status)
	h := x.w.Header()
	h.Set("Content-Type", asJSON)
	last := buf.Bytes()
	switch kind {
	case SlowBody:
		last = x.trickle(last, ending.Delay)
	case LargeBody:
		last = x.flood(last, ending.N)
	default:
		h.Set("Content-Length", strconv.Itoa(len(last)))
		x.w.WriteHeader(status)
	}
	x.said(a.verdicts(len(req.tokens), st))
	_, _ = x.w.Write(last)
}

// answerHalf announces the whole body, writes half of it, and ends the
// connection.
func (x *exchange) answerHalf(kind Kind, body []byte) {
	x.settle(http.StatusOK)
	x.w.Header().Set("Content-Type", "application/json; charset=utf-8")
	x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = x.w.Write(body[:len(body)/2])
	_ = http.NewResponseController(x.w).Flush()
	if kind == ResetInAnswer {
		x.reset()
		return
	}
	panic(http.ErrAbortHandler)
}

// trickle writes the body in pieces over about the given time, all but the last
// piece, which it returns.
func (x *exchange) trickle(body []byte, over time.Duration) (last []byte) {
	if over == 0 {
		over = defaultSlow
	}
	const pieces = 20
	x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	for size := len(body)/pieces + 1; len(body) > size; body = body[size:] {
		_, _ = x.w.Write(body[:size])
		_ = http.NewResponseController(x.w).Flush()
		x.pause(over / pieces)
	}
	x.pause(over / pieces)
	return body
}

// flood writes a first field of n bytes, and returns what follows it.
func (x *exchange) flood(body []byte, n int) (last []byte) {
	if n == 0 {
		n = defaultLarge
	}
	_, _ = x.w.Write([]byte(`{"padding":"`))
	for piece := bytes.Repeat([]byte("x"), 64<<10); n > 0; n -= len(piece) {
		if _, err := x.w.Write(piece[:min(n, len(piece))]); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	return append([]byte(`",`), body[1:]...)
}
