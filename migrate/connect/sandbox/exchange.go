package sandbox

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// buffers holds what bodies and answers are read and built in.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// serveImport answers one import call: what stands before the body, the faults
// that come before it, the body, its import, and the answer with its faults.
func (x *exchange) serveImport() {
	if !x.admit(http.MethodPost) || !x.withinLimit() {
		return
	}
	p := x.s.bill.next(x.call.Connector)
	x.s.journal.admit(&x.call, p.number)
	if f := x.s.bill.early(p); f != nil {
		x.s.journal.played(&x.call, f.name)
		if f.Kind == ResetInBody {
			_, _ = io.CopyN(io.Discard, x.r.Body, max(1, x.r.ContentLength/2))
		}
		x.reset()
		return
	}
	body, ok := x.readBody()
	if !ok {
		return
	}
	req, bad := decode(body, x.call.Connector)
	if bad != nil {
		x.fail(http.StatusBadRequest, "bad_request", bad.message())
		return
	}
	x.sent = len(req.tokens)
	x.s.journal.sent(&x.call, req.tokens)
	if n := x.s.opts.MaxTokens; n > 0 && len(req.tokens) > n {
		x.fail(http.StatusRequestEntityTooLarge, "request_entity_too_large", fmt.Sprintf("At most %d tokens are allowed.", n))
		return
	}
	for i := range req.tokens {
		if x.s.opts.rejects(&req.tokens[i]) {
			status := x.s.opts.RejectStatus
			x.fail(status, statusCode(status), fmt.Sprintf("Invalid request: `tokens[%d]` is not accepted by this connector.", i))
			return
		}
	}
	ending, shapes := x.s.bill.settle(p, req.tokens)
	x.conclude(&req, p.rand, ending, shapes)
}

// withinLimit counts the call and answers 429 where it is one too many.
func (x *exchange) withinLimit() bool {
	l := x.s.limiter
	q := l.take(x.call.Team, x.now)
	l.headers(x.w.Header(), q, x.now)
	if q.ok {
		return true
	}
	x.answerJSON(http.StatusTooManyRequests, l.refuse(x.w.Header(), q, x.now))
	return false
}

// readBody reads the body. It answers and returns false where the body is of
// another type or too large, and gives up without an answer where it breaks
// off.
func (x *exchange) readBody() (string, bool) {
	if media, _, _ := strings.Cut(x.r.Header.Get("Content-Type"), ";"); !strings.EqualFold(strings.TrimSpace(media), "application/json") {
		x.fail(http.StatusBadRequest, "bad_request", "Invalid request: the content type should be application/json.")
		return "", false
	}
	buf := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(buf)
	buf.Reset()
	most := x.s.opts.MaxBytes
	if _, err := buf.ReadFrom(io.LimitReader(x.r.Body, most+1)); err != nil {
		panic(http.ErrAbortHandler)
	}
	if int64(buf.Len()) > most {
		x.fail(http.StatusRequestEntityTooLarge, "request_entity_too_large", fmt.Sprintf("At most %d bytes are allowed.", most))
		return "", false
	}
	return buf.String(), true
}

// conclude imports what is to be imported, and ends the call.
func (x *exchange) conclude(req *request, rnd *rand.Rand, ending *scheduled, shapes []*scheduled) {
	if ending != nil {
		x.s.journal.played(&x.call, ending.name)
	}
	for _, f := range shapes {
		x.s.journal.played(&x.call, f.name)
	}
	var a answer
	if ending.imports() {
		a = x.importTokens(req, shapes)
	}
	x.pause(x.s.opts.latency(rnd))
	if ending == nil {
		x.answer(req, a, rnd, nil, shapes)
		return
	}
	switch ending.Kind {
	case Hang:
		if ending.Delay == 0 {
			x.hang()
		}
		x.pause(ending.Delay)
		if !ending.Imports { // else it was done before the pause
			a = x.importTokens(req, shapes)
		}
		x.answer(req, a, rnd, nil, shapes)
	case ResetAfterBody, ResetAfterImport:
		x.reset()
	case EchoCredentials:
		x.echoCredentials(ending, req)
	case Status:
		if ending.Status >= 300 {
			x.failStatus(ending)
			return
		}
		x.answer(req, a, rnd, ending, shapes)
	default:
		x.answer(req, a, rnd, ending, shapes)
	}
}

// imports reports whether a call with this ending, nil for none, imports its
// tokens before it waits.
func (f *scheduled) imports() bool {
	if f == nil {
		return true
	}
	switch f.Kind {
	case ResetAfterBody:
		return false
	case EchoCredentials, Hang:
		return f.Imports
	case Status:
		return f.Imports || f.Status < 300
	}
	return true
}

func (o *Options) latency(rnd *rand.Rand) time.Duration {
	if o.Jitter == 0 {
		return o.Latency
	}
	return o.Latency + time.Duration(rnd.Int64N(int64(o.Jitter)))
}

// pause waits for d. It abandons the call when the client leaves or the server
// closes meanwhile.
func (x *exchange) pause(d time.Duration) {
	if d == 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-x.r.Context().Done():
		panic(http.ErrAbortHandler)
	case <-x.s.closing.Done():
		panic(http.ErrAbortHandler)
	}
}

// hang waits until the client leaves or the server closes, and abandons the
// call.
func (x *exchange) hang() {
	select {
	case <-x.r.Context().Done():
	case <-x.s.closing.Done():
	}
	panic(http.ErrAbortHandler)
}

// reset ends the connection with a TCP reset. Where the connection is not this
// call's alone (HTTP/2), the stream is reset.
func (x *exchange) reset() {
	conn, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	raw := conn
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS would say goodbye first
		raw = t.NetConn()
	}
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // what is unsent is thrown away, and close sends RST
	}
	_ = raw.Close()
}

// fail answers an error with the documented body.
func (x *exchange) fail(status int, code, message string) {
	x.answerJSON(status, errorBody{Error: errorWords{Code: code, Message: message}})
}

// failStatus answers as a Status fault of 300 or more says.
func (x *exchange) failStatus(f *scheduled) {
	h := x.w.Header()
	if f.RetryAfter != "" {
		h.Set("Retry-After", f.RetryAfter)
	}
	if f.Status < 400 && f.Status != http.StatusNotModified {
		location := f.Location
		if location == "" {
			location = "/redirected" + x.r.URL.EscapedPath()
		}
		h.Set("Location", location)
	}
	switch {
	case f.Body != "":
		x.answerBody(f.Status, http.DetectContentType([]byte(f.Body)), []byte(f.Body))
	case f.Status == http.StatusNotModified:
		x.settle(f.Status)
		x.w.WriteHeader(f.Status)
	default:
		x.fail(f.Status, statusCode(f.Status), "The sandbox was told to answer "+strconv.Itoa(f.Status)+".")
	}
}

// echoCredentials answers an error that repeats the call's credentials as a
// careless server might.
func (x *exchange) echoCredentials(f *scheduled, req *request) {
	status := f.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	_, bearer, _ := strings.Cut(x.r.Header.Get("Authorization"), " ")
	said := []string{"bearer " + bearer}
	if len(req.tokens) > 0 {
		t := &req.tokens[0]
		quoted, _ := json.Marshal(t.RefreshToken) // a string always marshals
		said = append(said, "access token "+t.AccessToken, "query ?token="+url.QueryEscape(t.AccessToken),
			"basic "+base64.StdEncoding.EncodeToString([]byte("user:"+t.AccessToken)),
			"base64url "+base64.RawURLEncoding.EncodeToString([]byte(t.RefreshToken)), "refresh token "+string(quoted))
	}
	x.fail(status, statusCode(status), "Invalid value: "+strings.Join(said, "; "))
}

func (x *exchange) answerJSON(status int, v any) {
	body, _ := json.Marshal(v) // the package's own types, which always marshal
	x.answerBody(status, "application/json; charset=utf-8", body)
}

// answerBody answers once the request's body is in, so that a sender who is not
// done with a large one reads the answer rather than meets a closed connection.
func (x *exchange) answerBody(status int, contentType string, body []byte) {
	_, _ = io.CopyN(io.Discard, x.r.Body, maxDrain)
	x.settle(status)
	h := x.w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body)
}

// settle tells the journal how the call is answered. It comes before the first
// byte is written, and said before the last one, so that whoever has the answer
// finds it in the audit.
func (x *exchange) settle(status int) { x.s.journal.answered(&x.call, status) }

func (x *exchange) said(verdicts []Verdict) { x.s.journal.said(&x.call, verdicts) }
