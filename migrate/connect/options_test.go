package connect

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// credentialOf returns an Options.Credential that never changes.
func credentialOf(text string) func() Secret {
	return func() Secret { return NewSecret(text) }
}

func TestNew_ChecksTheURL(t *testing.T) {
	for text, want := range map[string]string{
		"https://api.vercel.com":          "",
		"https://api.vercel.com/":         "",
		"https://API.vercel.com:8443":     "",
		"https://10.0.0.1":                "",
		"http://127.0.0.1:8080":           "",
		"http://127.9.9.9":                "",
		"http://[::1]:1/":                 "",
		"http://localhost:65535":          "",
		"":                                "url: must be given",
		"api.vercel.com":                  "must be of the form",
		"api.vercel.com:443":              "must be of the form",
		"https://":                        "must be of the form",
		"https:///x":                      "must be of the form",
		"https:api.vercel.com":            "must be of the form",
		"https://h/%zz":                   "must be of the form",
		"ftp://api.vercel.com":            "must be https",
		"http://api.vercel.com":           "plain http is for loopback",
		"http://10.0.0.1":                 "plain http is for loopback",
		"http://0.0.0.0":                  "plain http is for loopback",
		"http://localhost.example.com":    "plain http is for loopback",
		"http://127.0.0.1.example.com":    "plain http is for loopback",
		"https://h:0":                     "must have a port",
		"https://h:65536":                 "must have a port",
		"https://h:":                      "must have a port",
		"https://canaryuser@h":            "must not hold a user",
		"https://u:canarypassword@h":      "must not hold a user",
		"https://h/v1":                    "must not have a path",
		"https://h//":                     "must not have a path",
		"https://h?teamId=canary":         "must not have a query",
		"https://h?":                      "must not have a query",
		"https://h#canary":                "must not have a fragment",
		"https://h#":                      "must not have a fragment",
		"https://canary\x7f:canary@h":     "must be of the form",
		"postgres://canary:canary@h/db?x": "must be https",
	} {
		c, err := New(Options{URL: text, Credential: credentialOf("c")})
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: got %v, want no error", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: got %v, want an error with %q", text, err, want)
		case err != nil && strings.Contains(err.Error(), "canary"):
			t.Errorf("%q: got %v, which quotes the URL", text, err)
		}
		if (c == nil) == (err == nil) {
			t.Errorf("%q: got client %v with error %v", text, c, err)
		}
	}
}

func TestNew_TellsAllProblemsAtOnce(t *testing.T) {
	_, err := New(Options{URL: "http://u@h/p?q#f", TeamID: "t", Slug: "s", Timeout: -1, UserAgent: "a\nb"})
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{"plain http", "user or password", "a path", "a query", "a fragment",
		"credential: must be given", "team_id and slug", "timeout:", "user agent:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want it to tell %q too", err, want)
		}
	}
}

func TestClient_Destination(t *testing.T) {
	for _, tt := range []struct {
		o    Options
		want string
	}{
		{Options{URL: "https://api.vercel.com"}, "api.vercel.com:443"},
		{Options{URL: "https://API.Vercel.com/", TeamID: "team_123"}, "api.vercel.com:443 team team_123"},
		{Options{URL: "https://api.vercel.com:8443", Slug: "acme"}, "api.vercel.com:8443 slug acme"},
		{Options{URL: "http://localhost"}, "localhost:80"},
		{Options{URL: "http://[::1]:8080"}, "[::1]:8080"},
	} {
		tt.o.Credential = credentialOf("c")
		c, err := New(tt.o)
		if err != nil {
			t.Errorf("%+v: %v", tt.o, err)
			continue
		}
		if got := c.Destination(); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.o.URL, got, tt.want)
		}
		if c.timeout != DefaultTimeout || c.userAgent != "tokenmigrate" {
			t.Errorf("%s: got timeout %s and user agent %q, want the defaults", tt.o.URL, c.timeout, c.userAgent)
		}
	}
}

func TestNewTransport_KeepsAConnectionForEverySender(t *testing.T) {
	tr := newTransport(false, nil)
	if tr.MaxIdleConnsPerHost < 64 || tr.MaxIdleConns < 64 || tr.MaxConnsPerHost != 0 {
		t.Errorf("got %d idle connections (%d a host) and at most %d, want 64, 64 and no limit",
			tr.MaxIdleConns, tr.MaxIdleConnsPerHost, tr.MaxConnsPerHost)
	}
	// Go's own least version is the same today; a change of it must not be ours.
	if got := tr.TLSClientConfig.MinVersion; got != tls.VersionTLS12 {
		t.Errorf("got TLS %x at least, want 1.2", got)
	}
	if tr.TLSHandshakeTimeout != 10*time.Second {
		t.Errorf("got %s for a handshake, want 10s", tr.TLSHandshakeTimeout)
	}
}

func TestQuietProxy_HidesTheProxyURL(t *testing.T) {
	_, err := quietProxy(func(*http.Request) (*url.URL, error) {
		return nil, errors.New("invalid proxy address \"http://u:canary@p:x\"")
	})(nil)
	if err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "HTTPS_PROXY") {
		t.Errorf("got %v, want an error that names the variable only", err)
	}
	want := &url.URL{Scheme: "http", Host: "p:1"}
	got, err := quietProxy(func(*http.Request) (*url.URL, error) { return want, nil })(nil)
	if got != want || err != nil {
		t.Errorf("got %v and %v, want %v", got, err, want)
	}
}
