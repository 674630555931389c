package connect

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// StatusError is an answer whose status is not 2xx. Its text was scrubbed of the
// credentials of its call and holds no control characters, so that all of it may
// be logged, stored and shown.
type StatusError struct {
	Status  int
	Code    string // the endpoint's error code, at most 100 characters; "" if it gave none
	Message string // one line of at most 500 characters; "" if it gave none

	// Wait is how long the endpoint asks to wait: the latest of Retry-After,
	// limit.resetMs, limit.reset and X-RateLimit-Reset, counted from the
	// server's own clock, never negative and not clamped. It is 0 both when the
	// endpoint asks for no wait and when it says nothing of one: WaitSaid tells.
	Wait     time.Duration
	WaitSaid bool

	// RetryAfter tells that a readable Retry-After header was among what
	// WaitSaid stands for. A 503 with it was not made; X-RateLimit-Reset alone
	// says nothing of the kind, since it may stand on any answer.
	RetryAfter bool
}

// Error names status, code, message and the wait asked for.
func (e *StatusError) Error() string {
	var b strings.Builder
	b.WriteString("the endpoint answered " + strconv.Itoa(e.Status))
	if e.Code != "" {
		b.WriteString(" " + e.Code)
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.WaitSaid {
		fmt.Fprintf(&b, " (asks to wait %s)", e.Wait.Round(time.Millisecond))
	}
	if e.Status >= 300 && e.Status < 400 {
		b.WriteString(" (redirects are never followed, they would carry the tokens elsewhere; correct the destination's url)")
	}
	return b.String()
}

// NotSentError is a call that was certainly not made: no byte of the request was
// written, since no connection was had (name, dial, proxy or TLS failure, or the
// context ended before) or since the request could not be built.
//
// errors.Is and errors.As look through Cause, so that a context's error is found.
type NotSentError struct {
	Cause error // scrubbed; never nil

	// Permanent tells that the same call cannot succeed before something is
	// changed: the server's certificate is not accepted, it does not speak TLS, or
	// the connector, the credential or the tokens are not of a kind that can be
	// sent. A caller may still prefer to retry where it was good before:
	// certificates do get replaced.
	Permanent bool
}

// Error says that the call was not made, and why.
func (e *NotSentError) Error() string { return "the call was not made: " + e.Cause.Error() }

// Unwrap returns Cause.
func (e *NotSentError) Unwrap() error { return e.Cause }

// LostError is a call in doubt: the request may have arrived, and no readable
// answer came. Only the endpoint knows whether the tokens were imported.
//
// errors.Is and errors.As look through Cause, so that a context's error is found.
type LostError struct {
	// What says how, in words: "the call's time of 1m0s ended before an answer
	// came", "the connection broke 17 bytes into the answer", "the call was
	// cancelled ...", "the answer is larger than ...", "the answer, of status
	// 200, is not readable".
	What  string
	Cause error // scrubbed; nil where What says all
}

// Error says that the answer was lost, and how.
func (e *LostError) Error() string {
	if e.Cause == nil {
		return "the answer was lost: " + e.What
	}
	return "the answer was lost: " + e.What + ": " + e.Cause.Error()
}

// Unwrap returns Cause, which may be nil.
func (e *LostError) Unwrap() error { return e.Cause }

// scrubbedError is an error under a text that is safe to print: Go's HTTP errors
// quote what a server sent, which may be an echo of the request. It answers
// errors.Is and errors.As as the original does, but has no Unwrap, so that
// nothing that prints chains of errors comes upon the original; and it holds two
// functions rather than the original, so that %#v does not either.
type scrubbedError struct {
	text string
	is   func(error) bool
	as   func(any) bool
}

// scrubError returns nil for nil.
func scrubError(err error, s *Scrubber) error {
	if err == nil {
		return nil
	}
	text := strings.TrimPrefix(err.Error(), "net/http: HTTP/1.x transport connection broken: ") // LostError says it
	return &scrubbedError{
		text: tidy(text, maxMessage, s),
		is:   func(target error) bool { return errors.Is(err, target) },
		as:   func(target any) bool { return errors.As(err, target) },
	}
}

func (e *scrubbedError) Error() string        { return e.text }
func (e *scrubbedError) Is(target error) bool { return e.is(target) }
func (e *scrubbedError) As(target any) bool   { return e.as(target) }
