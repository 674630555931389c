package connect

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"time"
)

const (
	errorBodyTimeout = 5 * time.Second // of the body behind a status that is known already
	maxErrorBody     = 64 << 10
	maxAnswer        = 64 << 20
	maxPromised      = 1 << 20 // of an answer's length that is believed before it comes
)

// Client makes import calls to one endpoint, and looks at its connectors. It is safe for concurrent use, and
// keeps its connections for the next call. It starts no call on its own: pace,
// repetition and waiting are the caller's.
type Client struct {
	origin     url.URL // scheme and host only
	query      string
	team       string // as Destination names it
	credential func() Secret
	timeout    time.Duration
	userAgent  string
	transport  *http.Transport
}

// New checks the options and returns a Client; it makes no connection. The error
// joins all problems found, each naming the option.
func New(o Options) (*Client, error) {
	c := &Client{credential: o.Credential, timeout: o.Timeout, userAgent: o.UserAgent}
	var problems []error
	origin, err := parseOrigin(o.URL)
	if err != nil {
		problems = append(problems, fmt.Errorf("url: %w", err))
	}
	c.origin = origin
	if o.Credential == nil {
		problems = append(problems, errors.New("credential: must be given"))
	}
	switch {
	case o.TeamID != "" && o.Slug != "":
		problems = append(problems, errors.New("team_id and slug: at most one of them may be given"))
	case o.TeamID != "":
		c.team, c.query = " team "+o.TeamID, url.Values{"teamId": {o.TeamID}}.Encode()
	case o.Slug != "":
		c.team, c.query = " slug "+o.Slug, url.Values{"slug": {o.Slug}}.Encode()
	}
	if o.Timeout < 0 {
		problems = append(problems, fmt.Errorf("timeout: must be positive, not %s", o.Timeout))
	}
	if o.Timeout == 0 {
		c.timeout = DefaultTimeout
	}
	if o.UserAgent == "" {
		c.userAgent = "tokenmigrate"
	}
	if !visible(c.userAgent, " ") {
		problems = append(problems, errors.New("user agent: must be of printable ASCII characters"))
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	c.transport = newTransport(origin.Scheme == "http", o.RootCAs)
	return c, nil
}

// Destination names where the client calls as the checkpoint knows it: host and
// port, and the team if one is given, such as "api.vercel.com:443 team team_123",
// "api.vercel.com:443 slug acme" or "127.0.0.1:8080".
func (c *Client) Destination() string {
	port := c.origin.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[c.origin.Scheme]
	}
	return net.JoinHostPort(c.origin.Hostname(), port) + c.team
}

// Close closes the connections that no call is using. The Client may be used
// again, and must then be closed again.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Import makes one import call for tokens of one connector, a stable id or a uid
// such as slack/acme-slack, and returns what the endpoint answered. The call is
// made at most once; see the package comment for the ways it can end and their
// error types: *NotSentError, *StatusError and *LostError.
//
// The tokens must not change while Import runs; they are not kept. The caller
// keeps chunks to a size that the endpoint takes.
func (c *Client) Import(ctx context.Context, connector string, tokens []Token) (Answer, error) {
	credential := c.credential()
	scrub := func() *Scrubber { return callScrubber(credential, tokens) }
	if err := checkCall(connector, credential); err != nil {
		return Answer{}, &NotSentError{Cause: err, Permanent: true}
	}
	if len(tokens) == 0 {
		return Answer{}, &NotSentError{Cause: errors.New("there is no token to import"), Permanent: true}
	}
	callCtx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()

	var conn connTrace
	body := encode(tokens)
	req := c.request(httptrace.WithClientTrace(callCtx, conn.hooks()), connector, credential, body)
	req.GetBody = func() (io.ReadCloser, error) {
		if conn.written.Load() {
			return nil, errStream
		}
		return io.NopCloser(bytes.NewReader(body)), nil
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		if !conn.had.Load() {
			return Answer{}, c.notSent(ctx, callCtx, err, scrub())
		}
		return Answer{}, c.lost(ctx, callCtx, "before an answer came", err, scrub())
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		now := time.Now()
		text := readErrorBody(resp, cancel)
		return Answer{}, newStatusError(resp.StatusCode, resp.Header, text, now, scrub())
	}
	limit := answerLimit(len(body), len(tokens))
	data, err := readAnswer(resp, limit)
	switch {
	case int64(len(data)) > limit:
		return Answer{}, &LostError{What: fmt.Sprintf("the answer is larger than %d bytes", limit)}
	case err != nil:
		return Answer{}, c.lost(ctx, callCtx, fmt.Sprintf("%d bytes into the answer", len(data)), err, scrub())
	}
	answer, err := decodeAnswer(data, len(tokens))
	if err != nil {
		what := fmt.Sprintf("the answer, of status %d, is not readable", resp.StatusCode)
		return Answer{}, &LostError{What: what, Cause: scrubError(err, scrub())}
	}
	return answer, nil
}

// encode returns the body of a call, in memory of about its size.
func encode(tokens []Token) []byte {
	size := BodyOverhead
	for i := range tokens {
		size += tokens[i].about()
	}
	return AppendBody(make([]byte, 0, size), tokens)
}

// checkCall refuses what cannot be sent.
func checkCall(connector string, credential Secret) error {
	switch {
	case connector == "" || connector == "." || connector == "..":
		// Dots would be resolved as a path on the way, percent-encoded or not.
		return fmt.Errorf("connector %q cannot stand in a URL; give its id or uid", connector)
	case credential.Empty():
		return errors.New("the API credential is empty")
	case !visible(credential.Reveal(), ""):
		return errors.New("the API credential holds blanks, line breaks or other characters that no bearer token has")
	}
	return nil
}

// request builds the call. The body is not taken from a pool: the transport may
// still be reading it after RoundTrip returned.
func (c *Client) request(ctx context.Context, connector string, credential Secret, body []byte) *http.Request {
	u := c.origin
	u.Path = "/v1/connect/token/" + connector + "/import"
	u.RawPath = "/v1/connect/token/" + url.PathEscape(connector) + "/import" // a slash in it becomes %2F
	u.RawQuery = c.query
	req := &http.Request{
		Method:        http.MethodPost,
		URL:           &u,
		Host:          u.Host,
		ContentLength: int64(len(body)),
		Body:          io.NopCloser(bytes.NewReader(body)),
		Header: http.Header{
			"Authorization": {"Bearer " + credential.Reveal()},
			"Content-Type":  {"application/json"},
			"Accept":        {"application/json"},
			"User-Agent":    {c.userAgent},
		},
	}
	return req.WithContext(ctx)
}

// notSent tells what waiting alone does not mend, such as a certificate that is not
// accepted or a port where nobody speaks TLS, from a connection that could not be had.
func (c *Client) notSent(ctx, callCtx context.Context, err error, s *Scrubber) error {
	switch {
	case ctx.Err() != nil:
		return &NotSentError{Cause: fmt.Errorf("it was cancelled before there was a connection: %w", ctx.Err())}
	case callCtx.Err() != nil:
		return &NotSentError{Cause: fmt.Errorf("there was no connection within %s: %w", c.timeout, callCtx.Err())}
	}
	var certificate *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	if errors.As(err, &plain) {
		err = fmt.Errorf("the server answers without TLS, which https needs: %w", err)
	}
	permanent := errors.As(err, &certificate) || errors.As(err, &plain) || errors.Is(err, errNotLoopback) || errors.Is(err, errProxy)
	return &NotSentError{Cause: scrubError(err, s), Permanent: permanent}
}

// lost puts into words how an answer was lost; when says where in the call.
func (c *Client) lost(ctx, callCtx context.Context, when string, err error, s *Scrubber) error {
	switch {
	case ctx.Err() != nil:
		return &LostError{What: "the call was cancelled " + when, Cause: ctx.Err()}
	case callCtx.Err() != nil:
		return &LostError{What: fmt.Sprintf("the call's time of %s ended %s", c.timeout, when), Cause: callCtx.Err()}
	}
	return &LostError{What: "the connection broke " + when, Cause: scrubError(err, s)}
}

// readErrorBody reads as much of a refusal's body as is kept. The status, which
// matters most, is known: a body that does not come or breaks off takes nothing
// from it, and is not waited for as long as an answer would be.
func readErrorBody(resp *http.Response, cancel context.CancelFunc) []byte {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return nil // the "body" is the connection itself, and has no end
	}
	defer time.AfterFunc(errorBodyTimeout, cancel).Stop()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	return body
}

// readAnswer reads an answer of at most limit bytes, and one byte of a longer one.
func readAnswer(resp *http.Response, limit int64) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(int(min(max(resp.ContentLength, 0), limit, maxPromised)) + bytes.MinRead)
	_, err := b.ReadFrom(io.LimitReader(resp.Body, limit+1))
	return b.Bytes(), err
}

// answerLimit bounds a readable answer, in bytes: an answer has some hundred
// bytes a token, and may echo every field of the request, in JSON's longest
// spelling.
func answerLimit(body, tokens int) int64 {
	const longestSpelling = 6 // \u0061
	return min(maxAnswer, 1<<20+64<<10*int64(tokens)+longestSpelling*int64(body))
}
