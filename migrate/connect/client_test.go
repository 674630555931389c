package connect

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const apiCredential = "vcp_apicredential0123456789"

// newClient returns a Client of the server at address, closed with the test.
func newClient(t *testing.T, address string, change func(*Options)) *Client {
	t.Helper()
	o := Options{URL: address, Credential: credentialOf(apiCredential), Timeout: 10 * time.Second, UserAgent: "tokenmigrate/test"}
	if change != nil {
		change(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// newServer starts an endpoint over plain http, or over TLS with the highest of
// the protocols that it offers: "http/1.1" or "h2".
func newServer(t *testing.T, protocol string, handler http.HandlerFunc) (address string, roots *x509.CertPool) {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.EnableHTTP2 = protocol == "h2"
	if protocol == "" {
		s.Start()
	} else {
		s.StartTLS()
		roots = x509.NewCertPool()
		roots.AddCert(s.Certificate())
	}
	t.Cleanup(s.Close)
	return s.URL, roots
}

const oneImported = `{"accepted":1,"imported":1,"tokens":[{"subject":{"type":"app"},"environment":"preview","expiresAt":1,"succeeded":true}]}`

func TestClient_MakesTheCall(t *testing.T) {
	tokens := []Token{fullToken(), minimalToken()}
	schema := requestSchema(t, false)
	for _, tt := range []struct {
		name, protocol, connector string
		change                    func(*Options)
		wantURI                   string
	}{
		{"plain, uid", "", "slack/acme-slack", nil, "/v1/connect/token/slack%2Facme-slack/import"},
		{"HTTP/1.1, uid", "http/1.1", "slack/acme-slack", nil, "/v1/connect/token/slack%2Facme-slack/import"},
		{"HTTP/2, uid", "h2", "slack/acme-slack", nil, "/v1/connect/token/slack%2Facme-slack/import"},
		{"id", "", "scl_abc123", nil, "/v1/connect/token/scl_abc123/import"},
		{"odd characters", "", `a?b#c%2F d/../é"\`, nil, `/v1/connect/token/a%3Fb%23c%252F%20d%2F..%2F%C3%A9%22%5C/import`},
		{"odd characters, HTTP/2", "h2", "a;b,c=d+e:f@g&h!i*j'k(l)/.", nil, "/v1/connect/token/a%3Bb%2Cc=d+e:f@g&h%21i%2Aj%27k%28l%29%2F./import"},
		{"three dots", "", "...", nil, "/v1/connect/token/.../import"},
		{"encoded dots", "", "%2e%2e", nil, "/v1/connect/token/%252e%252e/import"},
		{"team", "", "c", func(o *Options) { o.TeamID = "team_1&x" }, "/v1/connect/token/c/import?teamId=team_1%26x"},
		{"slug", "h2", "c", func(o *Options) { o.Slug = "acme" }, "/v1/connect/token/c/import?slug=acme"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got *http.Request
			var body []byte
			address, roots := newServer(t, tt.protocol, func(w http.ResponseWriter, r *http.Request) {
				got = r
				body, _ = io.ReadAll(r.Body)
				io.WriteString(w, oneImported)
			})
			c := newClient(t, address, func(o *Options) {
				o.RootCAs = roots
				if tt.change != nil {
					tt.change(o)
				}
			})
			answer, err := c.Import(t.Context(), tt.connector, tokens)
			if err != nil {
				t.Fatal(err)
			}
			if len(answer.Results) != 1 || *answer.Results[0].Succeeded != true || *answer.Imported != 1 {
				t.Errorf("got %s", show(answer))
			}
			if got.Method != "POST" || got.RequestURI != tt.wantURI {
				t.Errorf("got  %s %s\nwant POST %s", got.Method, got.RequestURI, tt.wantURI)
			}
			if want := (map[string]int{"": 1, "http/1.1": 1, "h2": 2})[tt.protocol]; got.ProtoMajor != want {
				t.Errorf("got HTTP/%d, want HTTP/%d", got.ProtoMajor, want)
			}
			if got.ContentLength != int64(len(body)) || len(got.TransferEncoding) > 0 {
				t.Errorf("got length %d and encoding %v, want length %d", got.ContentLength, got.TransferEncoding, len(body))
			}
			for name, want := range map[string]string{"Authorization": "Bearer " + apiCredential, "Content-Type": "application/json",
				"Accept": "application/json", "User-Agent": "tokenmigrate/test"} {
				if values := got.Header.Values(name); len(values) != 1 || values[0] != want {
					t.Errorf("got %s %q, want %q", name, values, want)
				}
			}
			for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key", "Referer", "Cookie"} {
				if values := got.Header.Values(name); values != nil {
					t.Errorf("got %s %q, want none", name, values)
				}
			}
			if err := validate(schema, body); err != nil {
				t.Errorf("the body does not fit the schema: %v", err)
			}
			if want := string(AppendBody(nil, tokens)); string(body) != want {
				t.Errorf("got body %s, want %s", body, want)
			}
		})
	}
}

func TestClient_AsksForTheCredentialBeforeEachCall(t *testing.T) {
	var got []string
	address, _ := newServer(t, "", func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Authorization"))
		io.WriteString(w, oneImported)
	})
	calls := 0
	c := newClient(t, address, func(o *Options) {
		o.Credential = func() Secret { calls++; return NewSecret(fmt.Sprint("credential-", calls)) }
	})
	for range 2 {
		if _, err := c.Import(t.Context(), "c", []Token{minimalToken()}); err != nil {
			t.Fatal(err)
		}
	}
	if want := "Bearer credential-1 Bearer credential-2"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %s", got, want)
	}
}

func TestClient_RefusesWhatCannotBeSent(t *testing.T) {
	var hits atomic.Int32
	address, _ := newServer(t, "", func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	one := []Token{minimalToken()}
	for _, tt := range []struct {
		name, connector, credential string
		tokens                      []Token
	}{
		{"no connector", "", apiCredential, one},
		{"a dot", ".", apiCredential, one},
		{"two dots", "..", apiCredential, one},
		{"no tokens", "c", apiCredential, nil},
		{"no credential", "c", "", one},
		{"a line break in the credential", "c", "canary\r\nX: y", one},
		{"a blank around the credential", "c", "canary ", one},
		{"another script in the credential", "c", "canaryé", one},
	} {
		c := newClient(t, address, func(o *Options) { o.Credential = credentialOf(tt.credential) })
		_, err := c.Import(t.Context(), tt.connector, tt.tokens)
		var notSent *NotSentError
		if !errors.As(err, &notSent) || !notSent.Permanent || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: got %v, want a permanent *NotSentError without the credential", tt.name, err)
		}
	}
	if hits.Load() != 0 {
		t.Errorf("got %d calls, want none", hits.Load())
	}
}

func TestClient_ReturnsEveryOtherStatus(t *testing.T) {
	for _, status := range []int{300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405, 408, 409, 410, 413, 418, 422, 425, 429,
		500, 501, 502, 503, 504, 520, 599, 999} {
		address, _ := newServer(t, "", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			if status != 304 {
				io.WriteString(w, `{"error":{"code":"a_code","message":"A message."}}`)
			}
		})
		_, err := newClient(t, address, nil).Import(t.Context(), "c", []Token{minimalToken()})
		var got *StatusError
		if !errors.As(err, &got) {
			t.Errorf("%d: got %v, want a *StatusError", status, err)
			continue
		}
		want := StatusError{Status: status, Code: "a_code", Message: "A message."}
		if status == 304 {
			want = StatusError{Status: 304}
		}
		if *got != want {
			t.Errorf("got %+v, want %+v", *got, want)
		}
	}
}

func TestClient_TakesEvery2xx(t *testing.T) {
	for _, status := range []int{200, 201, 202, 207, 299} {
		address, _ := newServer(t, "", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			io.WriteString(w, oneImported)
		})
		got, err := newClient(t, address, nil).Import(t.Context(), "c", []Token{minimalToken()})
		if err != nil || len(got.Results) != 1 {
			t.Errorf("%d: got %s and %v, want an answer", status, show(got), err)
		}
	}
}

func TestClient_FollowsNoRedirect(t *testing.T) {
	var hits atomic.Int32
	target, _ := newServer(t, "", func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		address, _ := newServer(t, "", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, target+"/elsewhere", status)
		})
		_, err := newClient(t, address, nil).Import(t.Context(), "c", []Token{minimalToken()})
		var got *StatusError
		if !errors.As(err, &got) || got.Status != status || !strings.Contains(err.Error(), "never followed") {
			t.Errorf("got %v, want a *StatusError of %d that says so", err, status)
		}
	}
	if hits.Load() != 0 {
		t.Errorf("the redirects' target was called %d times", hits.Load())
	}
}

// What an endpoint echoes of a call must not come out, however it is written and
// wherever it stands.
func TestClient_ScrubsEchoes(t *testing.T) {
	token := minimalToken()
	token.AccessToken = NewSecret(planted)
	token.RefreshToken = NewSecret("refresh-" + planted)
	token.Data = NewSecret(`{"inner":"datacanary-0123456789"}`)
	secrets := []string{apiCredential, planted, "refresh-" + planted, "datacanary-0123456789"}
	bodies := map[string]func(echo string) string{
		"message": func(e string) string { return `{"error":{"code":"bad","message":` + quoted("no: "+e) + `}}` },
		"code":    func(e string) string { return `{"error":{"code":` + quoted(e) + `}}` },
		"vendor": func(e string) string {
			return `{"error":{"code":"bad","message":"m","meta":{"vendor":{"message":` + quoted(e) + `}}}}`
		},
		"string":  func(e string) string { return `{"error":` + quoted(e) + `}` },
		"unknown": func(e string) string { return `{"problem":` + quoted(e) + `}` },
		"text":    func(e string) string { return e },
		"HTML":    func(e string) string { return "<html><body><p>" + e + "</p></body>" },
		"title":   func(e string) string { return "<html><title>" + e + "</title>" },
		"cut":     func(e string) string { return `{"error":{"message":"` + e },
	}
	var status int
	var said string
	address, _ := newServer(t, "", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/"+url.PathEscape(planted))
		w.WriteHeader(status)
		io.WriteString(w, said)
	})
	c := newClient(t, address, nil)
	for place, body := range bodies {
		for encoding, encode := range encodings {
			status = map[bool]int{true: 307, false: 400}[place == "message"]
			var echo strings.Builder
			for _, secret := range secrets {
				echo.WriteString(encode(secret) + " ; ")
			}
			said = body(echo.String())
			_, err := c.Import(t.Context(), "c", []Token{minimalToken(), token})
			var got *StatusError
			if !errors.As(err, &got) || got.Status != status {
				t.Fatalf("got %v, want a *StatusError of %d", err, status)
			}
			for _, secret := range secrets {
				if leak := leaked(err.Error(), secret) + leaked(fmt.Sprintf("%#v", got), secret); leak != "" {
					t.Errorf("%s, %s: %q holds %q", place, encoding, err, leak)
				}
			}
			if !strings.Contains(err.Error(), redacted) {
				t.Errorf("%s, %s: got %q, want it to show that something is left out", place, encoding, err)
			}
		}
	}
}

func quoted(text string) string { return `"` + jsonText(text) + `"` }

func TestClient_ReusesConnections(t *testing.T) {
	const senders, calls = 16, 6
	var mu sync.Mutex
	connections := map[string]bool{}
	address, _ := newServer(t, "", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		connections[r.RemoteAddr] = true
		mu.Unlock()
		if r.ContentLength%2 == 0 {
			w.WriteHeader(429) // a refusal must not cost the connection
		}
		io.WriteString(w, oneImported)
	})
	c := newClient(t, address, nil)
	var group sync.WaitGroup
	for i := range senders {
		group.Go(func() {
			for call := range calls {
				token := minimalToken()
				token.Name = strings.Repeat("n", i+call)
				if _, err := c.Import(context.Background(), "c", []Token{token}); err != nil && !errors.As(err, new(*StatusError)) {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	// The transport may dial once more than needed while a connection is on its
	// way back to the pool.
	if got, limit := len(connections), 2*senders; got > limit {
		t.Errorf("got %d connections for %d calls of %d senders, want at most %d", got, senders*calls, senders, limit)
	}
}

func TestClient_WantsModernTLS(t *testing.T) {
	for _, tt := range []struct {
		name      string
		version   uint16
		trusted   bool
		ok        bool
		permanent bool
	}{
		{"TLS 1.0", tls.VersionTLS10, true, false, false},
		{"TLS 1.1", tls.VersionTLS11, true, false, false},
		{"TLS 1.2", tls.VersionTLS12, true, true, false},
		{"TLS 1.3", tls.VersionTLS13, true, true, false},
		{"a certificate of nobody", tls.VersionTLS13, false, false, true},
	} {
		var hits atomic.Int32
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			hits.Add(1)
			io.WriteString(w, oneImported)
		}))
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tt.version}
		s.StartTLS()
		c := newClient(t, s.URL, func(o *Options) {
			o.RootCAs = x509.NewCertPool()
			if tt.trusted {
				o.RootCAs.AddCert(s.Certificate())
			}
		})
		_, err := c.Import(t.Context(), "c", []Token{minimalToken()})
		var notSent *NotSentError
		switch {
		case tt.ok && err != nil:
			t.Errorf("%s: got %v, want no error", tt.name, err)
		case !tt.ok && (!errors.As(err, &notSent) || notSent.Permanent != tt.permanent || hits.Load() != 0):
			t.Errorf("%s: got %v and %d calls, want a *NotSentError, permanent %t", tt.name, err, hits.Load(), tt.permanent)
		}
		var certificate *tls.CertificateVerificationError
		if got := errors.As(err, &certificate); got != tt.permanent {
			t.Errorf("%s: got certificate error %t, want %t", tt.name, got, tt.permanent)
		}
		c.Close()
		s.Close()
	}
}

func TestClient_BoundsAnswers(t *testing.T) {
	limit := answerLimit(len(AppendBody(nil, []Token{minimalToken()})), 1)
	for _, tt := range []struct {
		name    string
		padding int64
		ok      bool
	}{
		{"as large as may be", limit - int64(len(oneImported)), true},
		{"a byte more", limit - int64(len(oneImported)) + 1, false},
		{"endless", 1 << 50, false},
	} {
		address, _ := newServer(t, "", func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, oneImported)
			blanks := strings.Repeat(" ", 64<<10)
			for left := tt.padding; left > 0; left -= int64(len(blanks)) {
				if _, err := io.WriteString(w, blanks[:min(left, int64(len(blanks)))]); err != nil {
					return
				}
			}
		})
		_, err := newClient(t, address, nil).Import(t.Context(), "c", []Token{minimalToken()})
		var lost *LostError
		if tt.ok && err != nil {
			t.Errorf("%s: got %v, want no error", tt.name, err)
		}
		if !tt.ok && (!errors.As(err, &lost) || !strings.Contains(err.Error(), "larger than")) {
			t.Errorf("%s: got %v, want a *LostError that says so", tt.name, err)
		}
	}
	if got := answerLimit(1<<30, 1<<20); got != 64<<20 {
		t.Errorf("got a limit of %d for a huge call, want 64 MiB", got)
	}
}

func TestClient_BoundsRefusals(t *testing.T) {
	address, _ := newServer(t, "", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(500)
		for {
			if _, err := io.WriteString(w, "no "+strings.Repeat(base64.StdEncoding.EncodeToString([]byte("no")), 1000)); err != nil {
				return
			}
		}
	})
	_, err := newClient(t, address, nil).Import(t.Context(), "c", []Token{minimalToken()})
	var got *StatusError
	if !errors.As(err, &got) || got.Status != 500 || len(got.Message) > 210 {
		t.Errorf("got %v, want a *StatusError of 500 with a short message", err)
	}
}

func ExampleClient_Import() {
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Method, r.RequestURI)
		io.WriteString(w, oneImported)
	}))
	defer endpoint.Close()

	client, err := New(Options{URL: endpoint.URL, Credential: credentialOf("vcp_..."), TeamID: "team_123"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	answer, err := client.Import(context.Background(), "slack/acme-slack", []Token{{
		AccessToken: NewSecret("xoxb-..."),
		ExpiresAt:   time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli(),
		Subject:     Subject{Type: SubjectUser, ID: "user_1"},
		Environment: "production",
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(*answer.Imported, *answer.Results[0].Succeeded)
	// Output:
	// POST /v1/connect/token/slack%2Facme-slack/import?teamId=team_123
	// 1 true
}
