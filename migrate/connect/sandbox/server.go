package sandbox

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Server is a stand-in of the import endpoint: an http.Handler, and with Start
// a listening server too. It is safe for concurrent use.
type Server struct {
	opts    Options
	limiter *limiter
	bill    playbill
	journal *journal

	closing context.Context // done when Close begins; ends hangs and delays
	close   context.CancelFunc

	mu      sync.Mutex
	closed  bool
	http    *http.Server
	running sync.WaitGroup // requests, and the goroutine that accepts
}

// New makes a server; it listens once Start is called, and may be used as a
// handler without. It panics on Options that Validate refuses.
func New(o Options) *Server {
	if err := o.Validate(); err != nil {
		panic(err)
	}
	o = o.withDefaults()
	s := &Server{opts: o, limiter: newLimiter(o), journal: newJournal(o.Audit)}
	s.bill.seed = uint64(o.Seed)
	s.bill.set(o.Faults)
	s.closing, s.close = context.WithCancel(context.Background())
	return s
}

// SetFaults replaces Options.Faults from the next call on; Times begin anew,
// the numbers of calls go on. It returns the error of impossible faults and
// then changes nothing.
func (s *Server) SetFaults(faults []Fault) error {
	if err := validateFaults(faults); err != nil {
		return err
	}
	s.bill.set(faults)
	return nil
}

// Start listens on addr, host:port, and returns the URL to call, such as
// http://127.0.0.1:8787. The empty addr is a free port of 127.0.0.1, as is
// port 0. Only loopback addresses are served: a stand-in takes credentials from
// anyone who asks. A Server starts once.
func (s *Server) Start(addr string) (string, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	if err := CheckAddr(addr); err != nil {
		return "", fmt.Errorf("start sandbox: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.http != nil {
		return "", errors.New("start sandbox: it was started or closed already")
	}
	l, err := new(net.ListenConfig).Listen(s.closing, "tcp", addr)
	if err != nil {
		return "", fmt.Errorf("start sandbox: %w; choose another port, or 0 for a free one", err)
	}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	srv := s.http
	s.running.Go(func() { _ = srv.Serve(l) })
	return "http://" + l.Addr().String(), nil
}

// CheckAddr returns the error with which Start refuses an address that is not
// HOST:PORT of this machine's loopback.
func CheckAddr(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("the address %q is not HOST:PORT, such as 127.0.0.1:8787", addr)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("the address %q is not a loopback one, and a stand-in that takes anyone's credentials"+
			" must not be reached from elsewhere; use 127.0.0.1, [::1] or localhost", addr)
	}
	return nil
}

// Close stops listening, cuts all connections and waits until every request
// has ended. What was audited stays readable. It may be called repeatedly.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	srv := s.http
	s.mu.Unlock()
	s.close()
	if srv != nil {
		_ = srv.Close()
	}
	s.running.Wait()
}

// Audit returns a copy of all that the server remembers.
func (s *Server) Audit() Audit { return s.journal.snapshot() }

// Summary returns the audit in numbers, at any AuditLevel, and cheaply.
func (s *Server) Summary() Summary { return s.journal.summarize() }

// Imported returns what the server holds: one entry an identity. It is empty
// with AuditOff.
func (s *Server) Imported() map[Identity]Import { return s.journal.imports() }

// Keys returns what the server holds as a sorted list without credentials, for
// Summary.Keys. It is empty with AuditOff.
func (s *Server) Keys() []ImportedKey { return s.journal.keys() }

// ServeHTTP answers
//
//	POST /v1/connect/token/{connector}/import     the import call
//	GET  /v1/connect/connectors/{connector}       {"id","uid","name"} of a connector
//	GET  /audit                                   the Summary as JSON, with ?keys=1 its Keys too
//
// and anything else with 404.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		panic(http.ErrAbortHandler)
	}
	defer s.running.Done()
	path := r.URL.EscapedPath()
	if path == "/audit" && r.Method == http.MethodGet {
		s.serveAudit(w, r)
		return
	}
	x := &exchange{s: s, w: w, r: r, now: s.opts.Now()}
	connector, isImport := segment(path, "/v1/connect/token/", "/import")
	isRead := false
	if !isImport {
		connector, isRead = segment(path, "/v1/connect/connectors/", "")
	}
	x.arrive(connector)
	defer x.leave()
	switch {
	case isImport:
		x.serveImport()
	case isRead:
		x.serveConnector()
	default:
		x.fail(http.StatusNotFound, "not_found", "No such path.")
	}
}

// enter counts a request in, unless the server is closing.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.running.Add(1)
	return true
}

// segment returns the one path segment between before and after, decoded. A
// slash in it must be escaped.
func segment(path, before, after string) (string, bool) {
	rest, ok := strings.CutPrefix(path, before)
	if !ok {
		return "", false
	}
	rest, ok = strings.CutSuffix(rest, after)
	if !ok || rest == "" || strings.Contains(rest, "/") {
		return "", false
	}
	text, err := url.PathUnescape(rest)
	return text, err == nil
}

// An exchange is one request being answered.
type exchange struct {
	s    *Server
	w    http.ResponseWriter
	r    *http.Request
	now  time.Time
	sent int  // tokens of the call
	call Call // the journal's too, which changes it only under its lock
}

func (x *exchange) arrive(connector string) {
	q := x.r.URL.Query()
	x.call = Call{
		At: x.now, Method: x.r.Method, URI: x.r.RequestURI, Connector: connector,
		Team: q.Get("teamId") + q.Get("slug"), UserAgent: x.r.UserAgent(),
	}
	x.s.journal.open(&x.call)
	x.w.Header().Set("Date", x.now.UTC().Format(http.TimeFormat))
}

// leave logs the call. The call is the journal's too, but nothing of it changes
// any more.
func (x *exchange) leave() {
	e := x.s.opts.Log.Debug()
	if !e.Enabled() {
		return
	}
	e.Int("call", x.call.Number).Str("method", x.call.Method).Str("connector", x.call.Connector).Int("status", x.call.Status)
	if len(x.call.Faults) > 0 {
		e.Strs("faults", x.call.Faults)
	}
	e.Int("tokens", x.sent).Dur("took", x.s.opts.Now().Sub(x.now)).Msg("call")
}

// admit checks what comes before the body: method, credential, team and
// connector. It answers and returns false where one is wrong.
func (x *exchange) admit(method string) bool {
	o := &x.s.opts
	q := x.r.URL.Query()
	switch c := x.call.Connector; {
	case x.r.Method != method:
		x.w.Header().Set("Allow", method)
		x.fail(http.StatusMethodNotAllowed, "method_not_allowed", "Only "+method+" is served here.")
	case !x.authorized():
		x.fail(http.StatusUnauthorized, "unauthorized", "The request is not authorized.")
	case q.Has("teamId") && q.Has("slug"):
		x.fail(http.StatusBadRequest, "bad_request", "Invalid request: `teamId` and `slug` exclude each other.")
	case slices.Contains(o.Gone, c):
		x.fail(http.StatusGone, "gone", "The connector is gone.")
	case slices.Contains(o.Forbidden, c):
		x.fail(http.StatusForbidden, "forbidden", "You do not have permission to access this resource.")
	case len(o.Connectors) > 0 && !slices.Contains(o.Connectors, c):
		x.fail(http.StatusNotFound, "not_found", "The connector was not found.")
	default:
		return true
	}
	return false
}

func (x *exchange) authorized() bool {
	scheme, bearer, _ := strings.Cut(x.r.Header.Get("Authorization"), " ")
	bearer = strings.TrimSpace(bearer)
	if !strings.EqualFold(scheme, "bearer") || bearer == "" {
		return false
	}
	want := x.s.opts.Credential
	return want == "" || subtle.ConstantTimeCompare([]byte(bearer), []byte(want)) == 1
}

// serveConnector tells of a connector by its uid or id. The server knows
// connectors by name alone, so the other one is made up, always alike.
func (x *exchange) serveConnector() {
	if !x.admit(http.MethodGet) {
		return
	}
	c := x.call.Connector
	id, uid := c, c
	if strings.HasPrefix(c, "scl_") {
		uid = "sandbox/" + c[len("scl_"):]
	} else {
		id = fmt.Sprintf("scl_%012x", uint64(lot(&Token{Connector: c}, 0, "id")*(1<<48)))
	}
	x.answerJSON(http.StatusOK, map[string]string{"id": id, "uid": uid, "name": c})
}

func (s *Server) serveAudit(w http.ResponseWriter, r *http.Request) {
	sum := s.Summary()
	if r.URL.Query().Get("keys") == "1" {
		sum.Keys = s.Keys()
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(sum)
}
