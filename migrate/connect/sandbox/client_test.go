package sandbox_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tokenmigrate/migrate/connect"
	"tokenmigrate/migrate/connect/sandbox"
)

const (
	credential = "credential-canary-1f9b"
	access     = "access-canary-77aa01"
	refresh    = "refresh-canary\"<é>-9c"
)

// clientAndServer joins the program's own client to a sandbox.
func clientAndServer(t *testing.T, o sandbox.Options) (*connect.Client, *sandbox.Server) {
	t.Helper()
	o.Credential, o.Audit = credential, sandbox.AuditFull
	s := sandbox.New(o)
	url, err := s.Start("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	c, err := connect.New(connect.Options{
		URL: url, TeamID: "team_1", Timeout: 2 * time.Second,
		Credential: func() connect.Secret { return connect.NewSecret(credential) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, s
}

func someTokens(n int) []connect.Token {
	list := make([]connect.Token, n)
	for i := range list {
		list[i] = connect.Token{
			AccessToken: connect.NewSecret(access), RefreshToken: connect.NewSecret(refresh), ExpiresAt: 1900000000000,
			Subject: connect.Subject{Type: connect.SubjectUser, ID: fmt.Sprintf("u%d", i)}, Environment: "production",
		}
	}
	return list
}

func TestClient_SendsEveryFieldAsWanted(t *testing.T) {
	c, s := clientAndServer(t, sandbox.Options{RefuseSubjects: []string{"u1"}})
	tokens := someTokens(3)
	tokens[0] = connect.Token{
		AccessToken: connect.NewSecret(access), RefreshToken: connect.NewSecret(refresh), ExpiresAt: 1900000000000, RefreshTokenExpiresAt: 1950000000000,
		Subject: connect.Subject{Type: connect.SubjectUser, ID: "u0", Issuer: "https://i.example"}, Environment: "env_1", InstallationID: "i1",
		Audience: []string{"a"}, Scopes: []string{"s", "t"}, Resources: []string{"r"}, AuthorizationDetails: `[{"type":"x"}]`,
		Name: "n\u2028", ExternalSubject: "e", Installation: connect.Party{Object: `{"id":"i1","name":"I"}`}, Tenant: connect.Party{ID: "t1"},
		Data: connect.NewSecret(`{"a":{"b":[1]}}`),
	}
	tokens[2].Subject = connect.Subject{Type: connect.SubjectApp}
	a, err := c.Import(t.Context(), "slack/acme-slack", tokens)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, false, true} {
		if r := a.Results[i]; r.Succeeded == nil || *r.Succeeded != want || r.Subject != tokens[i].Subject || r.Environment != tokens[i].Environment {
			t.Errorf("result %d: got %+v, want succeeded %v", i, r, want)
		}
	}
	call := s.Audit().Calls[0]
	if call.URI != "/v1/connect/token/slack%2Facme-slack/import?teamId=team_1" || call.Team != "team_1" {
		t.Errorf("got %s of team %q", call.URI, call.Team)
	}
	got := call.Tokens[0]
	want := sandbox.Identity{Connector: "slack/acme-slack", Environment: "env_1", Subject: sandbox.Subject{Type: "user", ID: "u0", Issuer: "https://i.example"}, Installation: "i1", Tenant: "t1"}
	if got.Identity != want || got.AccessToken != access || got.RefreshToken != refresh || got.RefreshTokenSHA256 != sha256.Sum256([]byte(refresh)) {
		t.Errorf("got %+v, want %+v and its credentials", got, want)
	}
}

// Every fault is what it says to the program's own client.
func TestClient_MeetsEveryFault(t *testing.T) {
	lost := func(err error) bool { return errors.As(err, new(*connect.LostError)) }
	status := func(code int) func(error) bool {
		return func(err error) bool {
			var e *connect.StatusError
			return errors.As(err, &e) && e.Status == code
		}
	}
	fine := func(err error) bool { return err == nil }
	for _, c := range []struct {
		fault string
		is    func(error) bool
	}{
		{"400", status(400)}, {"401", status(401)}, {"403", status(403)}, {"404", status(404)}, {"410", status(410)}, {"413", status(413)}, {"422", status(422)},
		{"429:1", status(429)}, {"500", status(500)}, {"504+import", status(504)}, {"307", status(307)},
		{"201", fine}, {"202", fine}, {"204", lost},
		{"hang", lost}, {"reset-before-body", lost}, {"reset-in-body", lost}, {"reset-after-body", lost}, {"reset-after-import", lost}, {"reset-in-answer", lost},
		{"cut-body", lost}, {"empty-body", lost}, {"not-json", lost}, {"other-json", lost}, {"slow-body:50ms", fine}, {"slow-body:1m", lost}, {"large-body", lost},
		{"shuffled", fine}, {"missing-results", fine}, {"without-subject", fine}, {"succeeded-as-text", fine}, {"novel-fields", fine}, {"bare-results", fine},
		{"echo-credentials", status(400)}, {"echo-credentials:500+import", status(500)},
	} {
		t.Run(c.fault, func(t *testing.T) {
			t.Parallel()
			f, err := sandbox.ParseFault(c.fault)
			if err != nil {
				t.Fatal(err)
			}
			cl, s := clientAndServer(t, sandbox.Options{Faults: []sandbox.Fault{f}})
			_, err = cl.Import(t.Context(), "c", someTokens(6))
			if !c.is(err) {
				t.Errorf("got %T: %v", err, err)
			}
			if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, "canary") {
				t.Errorf("the error tells a credential: %s", text)
			}
			// One call of the client is one call on the wire.
			calls := s.Audit().Calls
			if len(calls) != 1 || calls[0].Faults[0] != f.String() {
				t.Fatalf("got calls %+v, want one that played %s", calls, c.fault)
			}
			if n := len(calls[0].Tokens); err != nil && n > 0 && calls[0].Tokens[n-1].Answered != sandbox.NoVerdict {
				t.Errorf("the audit has the verdict %v, but the client %v", calls[0].Tokens[n-1].Answered, err)
			}
		})
	}
}

func TestClient_ReadsTheWait(t *testing.T) {
	for name, tell := range map[string]sandbox.Tell{
		"documented": 0, "Retry-After": sandbox.TellRetryAfter, "date": sandbox.TellRetryAfterDate, "reset": sandbox.TellReset, "resetMs": sandbox.TellResetMs,
		"headers": sandbox.TellHeaders, "durations": sandbox.TellResetMs | sandbox.TellDurations, "old body": sandbox.TellReset | sandbox.TellOldBody,
		"zero": sandbox.TellRetryAfterZero, "nothing": sandbox.TellNothing,
	} {
		// The server's clock is two hours behind, and 20 s before a window's end.
		at := time.Now().Add(-2 * time.Hour).Truncate(time.Minute).Add(40 * time.Second)
		c, _ := clientAndServer(t, sandbox.Options{Limit: 1, Tell: tell, Now: func() time.Time { return at }})
		if _, err := c.Import(t.Context(), "c", someTokens(1)); err != nil {
			t.Fatal(err)
		}
		_, err := c.Import(t.Context(), "c", someTokens(1))
		var e *connect.StatusError
		if !errors.As(err, &e) || e.Status != 429 {
			t.Fatalf("%s: got %v, want a 429", name, err)
		}
		want, said := 20*time.Second, true
		switch name {
		case "zero":
			want = 0
		case "nothing":
			want, said = 0, false
		}
		if e.Wait != want || e.WaitSaid != said {
			t.Errorf("%s: got a wait of %v, said %v; want %v, %v", name, e.Wait, e.WaitSaid, want, said)
		}
	}
}
