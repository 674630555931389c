package connect

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"time"
)

// Connector is what the endpoint tells of a connector. Fields that it leaves out
// are empty; all are printable text.
type Connector struct {
	ID   string // scl_...
	UID  string // slack/acme-slack
	Name string
}

// Reach makes one request without a credential, to find out whether the endpoint
// can be reached at all; whatever it answers will do. It returns the version of
// TLS ("TLS 1.3"), or "" for plain http to a loopback address.
//
// Errors: *NotSentError, *LostError.
func (c *Client) Reach(ctx context.Context) (version string, err error) {
	resp, conn, err := c.get(ctx, "/", "/", Secret{})
	if err != nil {
		return "", err
	}
	_ = resp.Body.Close()
	if conn.tls != nil {
		version = tls.VersionName(conn.tls.Version)
	}
	return version, nil
}

// Connector reads one connector, by its stable id or uid. Nothing is changed by
// it, at the endpoint or elsewhere.
//
// Errors: *NotSentError, *StatusError; *LostError where no readable answer came.
func (c *Client) Connector(ctx context.Context, connector string) (Connector, error) {
	credential := c.credential()
	if err := checkCall(connector, credential); err != nil {
		return Connector{}, &NotSentError{Cause: err, Permanent: true}
	}
	const path = "/v1/connect/connectors/"
	resp, conn, err := c.get(ctx, path+connector, path+url.PathEscape(connector), credential)
	if err != nil {
		return Connector{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return Connector{}, newStatusError(resp.StatusCode, resp.Header, body, time.Now(), conn.scrub)
	}
	if err != nil {
		return Connector{}, &LostError{What: fmt.Sprintf("the connection broke %d bytes into the answer", len(body)), Cause: scrubError(err, conn.scrub)}
	}
	var said struct{ ID, UID, Name any }
	if err := json.Unmarshal(body, &said); err != nil {
		return Connector{}, &LostError{What: fmt.Sprintf("the answer, of status %d, is no JSON object", resp.StatusCode)}
	}
	text := func(v any) string { return tidy(firstText("", v), maxCode, conn.scrub) }
	return Connector{ID: text(said.ID), UID: text(said.UID), Name: text(said.Name)}, nil
}

// got is what else there is to know of a request's connection.
type got struct {
	tls   *tls.ConnectionState // nil: plain
	scrub *Scrubber
}

// get makes one GET request, with the credential unless that is empty.
func (c *Client) get(ctx context.Context, path, rawPath string, credential Secret) (*http.Response, got, error) {
	g := got{scrub: NewScrubber(credential)}
	callCtx, cancel := context.WithTimeout(ctx, c.timeout)
	u := c.origin
	u.Path, u.RawPath, u.RawQuery = path, rawPath, c.query
	if credential.Empty() {
		u.RawQuery = ""
	}
	req := &http.Request{Method: http.MethodGet, URL: &u, Host: u.Host, Header: http.Header{
		"Accept": {"application/json"}, "User-Agent": {c.userAgent},
	}}
	if !credential.Empty() {
		req.Header.Set("Authorization", "Bearer "+credential.Reveal())
	}
	var conn connTrace
	resp, err := c.transport.RoundTrip(req.WithContext(httptrace.WithClientTrace(callCtx, conn.hooks())))
	if err != nil {
		defer cancel()
		if !conn.had.Load() {
			return nil, g, c.notSent(ctx, callCtx, err, g.scrub)
		}
		return nil, g, c.lost(ctx, callCtx, "before an answer came", err, g.scrub)
	}
	resp.Body = &endingBody{resp.Body, cancel}
	g.tls = resp.TLS
	return resp, g, nil
}

// endingBody ends the request's context when it is closed.
type endingBody struct {
	io.ReadCloser
	end context.CancelFunc
}

func (b *endingBody) Close() error {
	err := b.ReadCloser.Close()
	b.end()
	return err
}
