package connect

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestClient_ReadsConnectors(t *testing.T) {
	var asked []string
	answer, status := "", 200
	address, roots := newServer(t, "h2", func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.RequestURI+" "+r.Header.Get("Authorization"))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	})
	c := newClient(t, address, func(o *Options) { o.RootCAs, o.Slug = roots, "acme" })

	if version, err := c.Reach(t.Context()); version != "TLS 1.3" || err != nil {
		t.Errorf("reach: got %q, %v, want TLS 1.3", version, err)
	}
	answer = `{"id":"scl_1","uid":"slack/acme","name":"` + apiCredential + `","new":{}}`
	if got, err := c.Connector(t.Context(), "slack/acme"); err != nil || got.ID != "scl_1" || got.UID != "slack/acme" || strings.Contains(got.Name, apiCredential) {
		t.Errorf("connector: got %+v, %v", got, err)
	}
	status, answer = 403, `{"error":{"code":"forbidden","message":"not with `+apiCredential+`"}}`
	var said *StatusError
	if _, err := c.Connector(t.Context(), "scl_1"); !errors.As(err, &said) || said.Status != 403 || said.Code != "forbidden" || strings.Contains(err.Error(), apiCredential) {
		t.Errorf("a refusal: got %v", err)
	}
	if _, err := c.Reach(t.Context()); err != nil {
		t.Errorf("reach, refused: got %v, want no error", err)
	}
	var lost *LostError
	for _, answer = range []string{"<html>", "", "[1]"} {
		status = 200
		if _, err := c.Connector(t.Context(), "scl_1"); !errors.As(err, &lost) {
			t.Errorf("answer %q: got %v, want a LostError", answer, err)
		}
	}
	want := []string{"GET / ", "GET /v1/connect/connectors/slack%2Facme?slug=acme Bearer " + apiCredential, "GET /v1/connect/connectors/scl_1?slug=acme Bearer " + apiCredential, "GET / "}
	if got := strings.Join(asked[:len(want)], "\n"); got != strings.Join(want, "\n") {
		t.Errorf("asked\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func TestClient_TellsThatNothingIsThere(t *testing.T) {
	address, _ := newServer(t, "http/1.1", func(http.ResponseWriter, *http.Request) {})
	var notSent *NotSentError
	if _, err := newClient(t, address, nil).Reach(t.Context()); !errors.As(err, &notSent) || !notSent.Permanent {
		t.Errorf("an unknown authority: got %v, want it permanent", err)
	}
	if _, err := newClient(t, "http://127.0.0.1:1", nil).Reach(t.Context()); !errors.As(err, &notSent) || notSent.Permanent {
		t.Errorf("a closed port: got %v, want it not permanent", err)
	}
	if _, err := newClient(t, "http://127.0.0.1:1", func(o *Options) { o.Credential = credentialOf("") }).Connector(t.Context(), "scl_1"); !errors.As(err, &notSent) || !notSent.Permanent {
		t.Errorf("no credential: got %v, want it permanent", err)
	}
	if _, err := newClient(t, "http://127.0.0.1:1", nil).Connector(t.Context(), ".."); !errors.As(err, &notSent) || !notSent.Permanent {
		t.Errorf("dots: got %v, want it permanent", err)
	}
}
