package sandbox

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a sandbox for the test.
func start(t *testing.T, o Options) (*Server, string) {
	t.Helper()
	s := New(o)
	url, err := s.Start("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); http.DefaultClient.CloseIdleConnections() })
	return s, url
}

// tok is a token of the given subject, as JSON.
func tok(subject string) string {
	return fmt.Sprintf(`{"accessToken":"access-of-%[1]s","refreshToken":"refresh-of-%[1]s","expiresAt":1900000000000,`+
		`"subject":{"type":"user","id":%[1]q},"environment":"production"}`, subject)
}

func body(tokens ...string) string { return `{"tokens":[` + strings.Join(tokens, ",") + `]}` }

// toks is a body of n tokens, of subjects u0, u1, ...
func toks(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = tok(fmt.Sprintf("u%d", i))
	}
	return body(list...)
}

// reply is an answer as it was read.
type reply struct {
	status int
	header http.Header
	text   string
	err    error // of the call or of reading its body
}

// importAnswer is the documented answer.
type importAnswer struct {
	Accepted, Imported int
	Tokens             []map[string]any
}

func (r reply) answer(t *testing.T) importAnswer {
	t.Helper()
	var a importAnswer
	if err := json.Unmarshal([]byte(r.text), &a); r.err != nil || err != nil || r.status != 200 {
		t.Fatalf("got status %d, error %v, %v, body %.300s; want a readable 200", r.status, r.err, err, r.text)
	}
	return a
}

func (r reply) code(t *testing.T) string {
	t.Helper()
	var e errorBody
	if err := json.Unmarshal([]byte(r.text), &e); err != nil || r.err != nil {
		t.Fatalf("got status %d, error %v, %v, body %.300s; want an error body", r.status, r.err, err, r.text)
	}
	return e.Error.Code
}

// send makes a call to a path below base. Headers are pairs.
func send(t *testing.T, method, url, body string, headers ...string) reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer credential-of-the-test")
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, string(text), err}
}

const slackPath = "/v1/connect/token/slack%2Facme/import"

func post(t *testing.T, base, body string, headers ...string) reply {
	t.Helper()
	return send(t, "POST", base+slackPath, body, headers...)
}

func TestServer_ImportsAndTells(t *testing.T) {
	s, url := start(t, Options{Audit: AuditFull, RefuseSubjects: []string{"u2"}})
	full := `{"accessToken":"a\"1","expiresAt":1.9e12,"refreshTokenExpiresAt":1900000000001,"subject":{"type":"app","more":1},` +
		`"environment":"env_abc","installationId":"i","audience":["x"],"scopes":[],"resources":["r"],` +
		`"authorizationDetails":[{"type":"t","n":[1,{}]}],"name":"\u006eame","externalSubject":"ext","installation":{"id":"j","name":"J"},` +
		`"tenant":{"id":"ten","x":null},"data":{"deep":{"a":[true,false,null,-1.5e-3]}}}`
	a := post(t, url, body(tok("u1"), tok("u2"), full)).answer(t)
	if a.Accepted != 3 || a.Imported != 2 || len(a.Tokens) != 3 {
		t.Fatalf("got %+v, want 3 accepted, 2 imported, 3 results", a)
	}
	for i, want := range []bool{true, false, true} {
		if got := a.Tokens[i]["succeeded"]; got != want {
			t.Errorf("result %d: got succeeded %v, want %v", i, got, want)
		}
	}
	var sent, got map[string]any
	if err := json.Unmarshal([]byte(full), &sent); err != nil {
		t.Fatal(err)
	}
	delete(sent, "accessToken")
	sent["succeeded"] = true
	got = a.Tokens[2]
	if g, w := fmt.Sprint(got), fmt.Sprint(sent); g != w {
		t.Errorf("echo:\ngot  %s\nwant %s", g, w)
	}

	post(t, url, body(strings.Replace(tok("u1"), "access-of", "newer", 1))).answer(t)
	id := Identity{Connector: "slack/acme", Environment: "production", Subject: Subject{Type: "user", ID: "u1"}}
	im := s.Imported()[id]
	if im.Times != 2 || im.First != 1 || im.Last != 2 || im.AccessToken != "newer-u1" || im.AccessTokenSHA256 != sha256.Sum256([]byte("newer-u1")) {
		t.Errorf("got %+v, want the second import of u1 over the first", im)
	}
	app := Identity{Connector: "slack/acme", Environment: "env_abc", Subject: Subject{Type: "app"}, Installation: "i", Tenant: "ten"}
	if im := s.Imported()[app]; im.Times != 1 || im.AccessToken != `a"1` {
		t.Errorf("got %+v, want the app's token imported once, unescaped", im)
	}
	if id := (&Token{Installation: "j"}).Identity().Installation; id != "j" {
		t.Errorf("got installation %q of a token without installationId, want installation.id", id)
	}
	audit := s.Audit()
	if len(audit.Calls) != 2 || len(audit.Imported) != 2 {
		t.Fatalf("got %d calls and %d identities, want 2 and 2", len(audit.Calls), len(audit.Imported))
	}
	c := audit.Calls[0]
	if c.URI != slackPath || c.Connector != "slack/acme" || c.Status != 200 || c.Number != 1 || c.Admitted != 1 {
		t.Errorf("got call %+v", c)
	}
	if u2 := c.Tokens[1]; u2.Imported || u2.Answered != No || u2.Subject.ID != "u2" {
		t.Errorf("got %+v, want u2 refused", u2)
	}
	if u1 := c.Tokens[0]; !u1.Imported || u1.Answered != Yes || u1.RefreshTokenSHA256 != sha256.Sum256([]byte("refresh-of-u1")) {
		t.Errorf("got %+v, want u1 imported", u1)
	}
	if sum := audit.Summary; sum.Calls != 2 || sum.Sent != 4 || sum.Imports != 3 || sum.Distinct != 2 || sum.Repeated != 1 || sum.Refused != 1 || sum.Statuses["200"] != 2 {
		t.Errorf("got summary %+v", sum)
	}
}

func TestServer_RoutesAndRefuses(t *testing.T) {
	s, url := start(t, Options{
		Credential: "the-right-one", Connectors: []string{"slack/acme", "scl_1", "gone/x", "secret/x"},
		Forbidden: []string{"secret/x"}, Gone: []string{"gone/x"}, MaxTokens: 2, MaxBytes: 600,
		RejectSubjects: []string{"bad"}, RejectStatus: 422,
	})
	const right = "Bearer the-right-one"
	path := func(connector string) string { return "/v1/connect/token/" + connector + "/import" }
	ok := body(tok("u"))
	for _, c := range []struct {
		name, method, path, body, auth string
		status                         int
		code                           string
	}{
		{"by uid", "POST", path("slack%2Facme"), ok, right, 200, ""},
		{"by uid, lower case escape", "POST", path("slack%2facme"), ok, right, 200, ""},
		{"by id", "POST", path("scl_1"), ok, right, 200, ""},
		{"with team", "POST", path("scl_1") + "?teamId=team_1", ok, right, 200, ""},
		{"any case of bearer", "POST", path("scl_1"), ok, "bearer the-right-one", 200, ""},
		{"empty list", "POST", path("scl_1"), `{"tokens":[]}`, right, 200, ""},
		{"unescaped slash", "POST", path("slack/acme"), ok, right, 404, "not_found"},
		{"no connector", "POST", path(""), ok, right, 404, "not_found"},
		{"unknown connector", "POST", path("scl_2"), ok, right, 404, "not_found"},
		{"double escape", "POST", path("slack%252Facme"), ok, right, 404, "not_found"},
		{"other path", "POST", "/v1/connect/token/scl_1/import/", ok, right, 404, "not_found"},
		{"forbidden", "POST", path("secret%2Fx"), ok, right, 403, "forbidden"},
		{"gone", "POST", path("gone%2Fx"), ok, right, 410, "gone"},
		{"get", "GET", path("scl_1"), "", right, 405, "method_not_allowed"},
		{"no bearer", "POST", path("scl_1"), ok, "", 401, "unauthorized"},
		{"empty bearer", "POST", path("scl_1"), ok, "Bearer ", 401, "unauthorized"},
		{"basic", "POST", path("scl_1"), ok, "Basic the-right-one", 401, "unauthorized"},
		{"wrong bearer", "POST", path("scl_1"), ok, right + "x", 401, "unauthorized"},
		{"team twice", "POST", path("scl_1") + "?teamId=t&slug=s", ok, right, 400, "bad_request"},
		{"bad body", "POST", path("scl_1"), `{"tokens":[{}]}`, right, 400, "bad_request"},
		{"rejected", "POST", path("scl_1"), body(tok("u"), tok("bad")), right, 422, "unprocessable_entity"},
		{"too many", "POST", path("scl_1"), toks(3), right, 413, "request_entity_too_large"},
		{"too long", "POST", path("scl_1"), body(with("name", `"`+strings.Repeat("n", 600)+`"`)), right, 413, "request_entity_too_large"},
		{"connector", "GET", "/v1/connect/connectors/slack%2Facme", "", right, 200, ""},
		{"no such connector", "GET", "/v1/connect/connectors/slack%2Fother", "", right, 404, "not_found"},
		{"forbidden connector", "GET", "/v1/connect/connectors/secret%2Fx", "", right, 403, "forbidden"},
		{"connector, post", "POST", "/v1/connect/connectors/scl_1", "", right, 405, "method_not_allowed"},
		{"connector, no bearer", "GET", "/v1/connect/connectors/scl_1", "", "", 401, "unauthorized"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := s.Summary()
			r := send(t, c.method, url+c.path, c.body, "Authorization", c.auth)
			if r.status != c.status {
				t.Errorf("got %d, want %d; body %s", r.status, c.status, r.text)
			}
			if c.code != "" && r.code(t) != c.code {
				t.Errorf("got code %q, want %q", r.code(t), c.code)
			}
			after := s.Summary()
			if after.Calls != before.Calls+1 {
				t.Errorf("the audit went from %d calls to %d, want one more", before.Calls, after.Calls)
			}
			if c.status != 200 && after.Imports != before.Imports {
				t.Errorf("a call answered %d imported tokens", c.status)
			}
		})
	}
	if r := send(t, "POST", url+path("scl_1"), ok, "Authorization", right, "Content-Type", "text/plain"); r.status != 400 {
		t.Errorf("other content type: got %d, want 400", r.status)
	}
	r := send(t, "POST", url+path("scl_1"), body(tok("u"), tok("bad")), "Authorization", right)
	if !strings.Contains(r.text, "`tokens[1]`") {
		t.Errorf("got %s, want the bad token's place", r.text)
	}
	r = send(t, "GET", url+"/v1/connect/connectors/slack%2Facme", "", "Authorization", right)
	var info struct{ ID, UID string }
	if err := json.Unmarshal([]byte(r.text), &info); err != nil || info.UID != "slack/acme" || !strings.HasPrefix(info.ID, "scl_") {
		t.Errorf("got %s, want id and uid", r.text)
	}
}

// An answer that does not depend on the body must still reach a client that is
// writing a large one.
func TestServer_AnswersLargeBodies(t *testing.T) {
	_, url := start(t, Options{Limit: 1, Window: time.Hour, MaxBytes: 1 << 20})
	post(t, url, toks(1)).answer(t)
	large := body(with("name", `"`+strings.Repeat("n", 4<<20)+`"`))
	for range 5 {
		if r := post(t, url, large); r.status != 429 || r.err != nil {
			t.Fatalf("got %d, %v, want 429", r.status, r.err)
		}
		if r := send(t, "POST", url+slackPath+"?slug=s", large); r.status != 413 && r.status != 429 || r.err != nil {
			t.Fatalf("got %d, %v, want 413", r.status, r.err)
		}
	}
}

// The share falls to the same identities in whatever call they come.
func TestServer_RefusesAShare(t *testing.T) {
	const n = 500
	refused := func(seed int64, chunk int) map[string]bool {
		_, url := start(t, Options{RefuseShare: 0.2, Seed: seed})
		no := map[string]bool{}
		for from := 0; from < n; from += chunk {
			var list []string
			for i := from; i < from+chunk; i++ {
				list = append(list, tok(fmt.Sprintf("u%d", i)))
			}
			for _, r := range post(t, url, body(list...)).answer(t).Tokens {
				if r["succeeded"] == false {
					no[r["subject"].(map[string]any)["id"].(string)] = true
				}
			}
		}
		return no
	}
	a, b, c := refused(1, 100), refused(1, 50), refused(2, 100)
	if len(a) < n/10 || len(a) > n*3/10 {
		t.Errorf("got %d of %d refused, want about a fifth", len(a), n)
	}
	if fmt.Sprint(a) != fmt.Sprint(b) {
		t.Error("other chunks: got other refused tokens")
	}
	if fmt.Sprint(a) == fmt.Sprint(c) {
		t.Error("another seed: got the same refused tokens")
	}
}

func TestServer_AsksTheCaller(t *testing.T) {
	_, url := start(t, Options{
		Refuse: func(t Token) bool { return t.AccessToken == "access-of-u1" },
		Reject: func(t Token) bool { return t.Connector == "slack/acme" && t.Subject.ID == "u5" },
	})
	if a := post(t, url, toks(3)).answer(t); a.Imported != 2 || a.Tokens[1]["succeeded"] != false {
		t.Errorf("got %+v, want u1 refused", a)
	}
	if r := post(t, url, toks(6)); r.status != 400 {
		t.Errorf("got %d, want 400 for u5", r.status)
	}
}

func TestServer_StartAndClose(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":8787", "192.168.1.1:0", "example.com:80", "[::]:0", "127.0.0.1", "nonsense"} {
		s := New(Options{})
		if url, err := s.Start(addr); err == nil || !strings.Contains(err.Error(), "start sandbox: the address") {
			t.Errorf("%s: got %s, %v, want a refusal", addr, url, err)
		}
		s.Close()
	}
	s := New(Options{})
	url, err := s.Start("localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Start(""); err == nil {
		t.Error("started twice")
	}
	other := New(Options{})
	if _, err := other.Start(strings.TrimPrefix(url, "http://")); err == nil || !strings.Contains(err.Error(), "choose another port") {
		t.Errorf("a taken port: got %v", err)
	}
	other.Close()
	post(t, url, toks(1)).answer(t)
	s.Close()
	s.Close()
	if r := post(t, url, toks(1)); r.err == nil {
		t.Errorf("after Close: got %d", r.status)
	}
	if s.Summary().Imports != 1 {
		t.Error("the audit is gone after Close")
	}
	if _, err := s.Start(""); err == nil {
		t.Error("started after Close")
	}
}

func TestNew_PanicsOnImpossibleOptions(t *testing.T) {
	for _, o := range []Options{
		{RefuseShare: 1.1}, {RejectShare: -1}, {RejectStatus: 500}, {Limit: -1}, {BucketPerSecond: -1}, {Latency: -1},
		{Faults: []Fault{{Kind: "none"}}}, {Faults: []Fault{{Kind: SilentLimit}}}, {Faults: []Fault{{Kind: ResetInBody, Subject: "u"}}},
		{Faults: []Fault{{Kind: Status, Status: 500, Share: 0.6}, {Kind: Hang, Share: 0.6}}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v: got no panic", o)
				}
			}()
			New(o)
		}()
	}
}

func TestServer_ServesItsAudit(t *testing.T) {
	_, url := start(t, Options{Faults: []Fault{{Kind: ResetAfterImport, Calls: []int{2}}}})
	post(t, url, toks(2)).answer(t)
	post(t, url, toks(1))
	r := send(t, "GET", url+"/audit", "")
	var sum Summary
	if err := json.Unmarshal([]byte(r.text), &sum); err != nil || sum.Keys != nil ||
		sum.Calls != 2 || sum.Statuses["200"] != 1 || sum.Statuses["none"] != 1 || sum.Imports != 3 || sum.Distinct != 2 || sum.Repeated != 1 || sum.Faults["reset-after-import"] != 1 {
		t.Errorf("got %v, %s", err, r.text)
	}
	r = send(t, "GET", url+"/audit?keys=1", "")
	if err := json.Unmarshal([]byte(r.text), &sum); err != nil || len(sum.Keys) != 2 || sum.Keys[0].SubjectID != "u0" || sum.Keys[0].Times != 2 || sum.Keys[1].Times != 1 {
		t.Errorf("got %v, %s", err, r.text)
	}
	for _, secret := range []string{"access-of", "refresh-of", "credential"} {
		if strings.Contains(r.text, secret) {
			t.Errorf("the audit page tells %q: %s", secret, r.text)
		}
	}
}

func TestServer_AuditOffStillCounts(t *testing.T) {
	s, url := start(t, Options{Audit: AuditOff, RefuseSubjects: []string{"u1"}})
	for range 2 {
		post(t, url, toks(3)).answer(t)
	}
	a := s.Audit()
	if len(a.Calls) != 0 || len(a.Imported) != 0 {
		t.Errorf("got %d calls and %d identities, want none", len(a.Calls), len(a.Imported))
	}
	if sum := a.Summary; sum.Calls != 2 || sum.Sent != 6 || sum.Imports != 4 || sum.Distinct != 2 || sum.Repeated != 2 || sum.Refused != 2 {
		t.Errorf("got %+v", sum)
	}
}

func TestServer_LogsWithoutSecrets(t *testing.T) {
	var log strings.Builder
	s, url := start(t, Options{Log: zerolog.New(zerolog.SyncWriter(&log)), Faults: []Fault{{Kind: ResetAfterImport, Calls: []int{2}}}})
	post(t, url, toks(2))
	post(t, url, toks(2))
	s.Close()
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"connector":"slack/acme","status":200,"tokens":2`) || !strings.Contains(lines[1], `"faults":["reset-after-import"]`) {
		t.Errorf("got %s", log.String())
	}
	for _, secret := range []string{"access-of", "refresh-of", "credential"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log tells %q", secret)
		}
	}
}

func TestServer_ManyAtOnce(t *testing.T) {
	s, url := start(t, Options{Faults: []Fault{{Kind: Shuffled, Share: 0.5}, {Kind: CutBody, Share: 0.2}, {Kind: Status, Status: 500, Share: 0.2}}})
	const senders, calls = 8, 25
	var g sync.WaitGroup
	for w := range senders {
		g.Go(func() {
			for c := range calls {
				post(t, url, body(tok(fmt.Sprintf("u%d-%d", w, c)), tok("shared")))
				s.Audit()
			}
		})
	}
	g.Wait()
	a := s.Audit()
	imported := 0
	for i, c := range a.Calls {
		if c.Number != i+1 {
			t.Fatalf("call %d has the number %d", i+1, c.Number)
		}
		for _, tk := range c.Tokens {
			if tk.Imported {
				imported++
			}
		}
	}
	times := 0
	for _, im := range a.Imported {
		times += im.Times
	}
	if len(a.Calls) != senders*calls || imported != times || imported != a.Summary.Imports || len(a.Imported) != a.Summary.Distinct {
		t.Errorf("got %d calls; %d imported by the calls, %d by the store, %d by the summary", len(a.Calls), imported, times, a.Summary.Imports)
	}
}

// As a handler of someone else's server the sandbox resets what it can: the TCP
// connection below TLS, or the stream of HTTP/2.
func TestServer_IsAHandler(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		s := New(Options{Faults: []Fault{{Kind: ResetAfterImport, Calls: []int{2}}, {Kind: Hang, Calls: []int{3}}}})
		srv := httptest.NewUnstartedServer(s)
		srv.EnableHTTP2 = h2
		srv.StartTLS()
		post := func() (string, error) {
			req, _ := http.NewRequestWithContext(t.Context(), "POST", srv.URL+slackPath, strings.NewReader(toks(1)))
			req.Header.Set("Authorization", "Bearer x")
			req.Header.Set("Content-Type", "application/json")
			res, err := srv.Client().Do(req)
			if err != nil {
				return "", err
			}
			return fmt.Sprint(res.Proto, " ", res.StatusCode), res.Body.Close()
		}
		if got, err := post(); err != nil || got != map[bool]string{false: "HTTP/1.1 200", true: "HTTP/2.0 200"}[h2] {
			t.Errorf("h2 %v: got %s, %v", h2, got, err)
		}
		got, err := post()
		if err == nil || !h2 && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("h2 %v: got %s, %v, want a reset", h2, got, err)
		}
		ended := make(chan error)
		go func() { _, err := post(); ended <- err }()
		for s.Summary().Faults["hang"] == 0 {
			time.Sleep(time.Millisecond) // polling another goroutine over a real socket
		}
		s.Close() // ends the hang, though the connection is not its own
		if err := <-ended; err == nil {
			t.Errorf("h2 %v: got an answer to the call that hung", h2)
		}
		if _, err := post(); err == nil {
			t.Errorf("h2 %v: got an answer after Close", h2)
		}
		srv.Close()
		if sum := s.Summary(); sum.Imports != 2 {
			t.Errorf("h2 %v: got %d imports, want 2", h2, sum.Imports)
		}
	}
}
