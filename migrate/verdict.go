package migrate

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"

	"tokenmigrate/migrate/connect"
)

// action is what to do about a call's answer.
type action int

const (
	record       action = iota // the answer speaks of each token
	halve                      // something in the chunk is refused
	tooLarge                   // the chunk is too large for the endpoint
	throttle                   // not now, not made: everyone pauses
	notMade                    // no byte was written: again after a backoff
	doubt                      // it may have been made: by policy
	refuseOne                  // this connector refuses: no more calls to it
	credential                 // the credential is refused
	stop                       // not understood: stop
	misconfigure               // trying again is useless until the configuration changes
)

// verdict is an answer, judged.
type verdict struct {
	action action
	match  matching      // of record
	wait   time.Duration // of throttle
	said   bool          // of throttle: the endpoint named the wait
	words  string        // what was said, scrubbed, for the log and the token
	mends  bool          // of misconfigure: it may mend by itself, such as a certificate
	status string        // for metrics and logs: an HTTP status, "lost" or statusNotSent
}

// tells reports whether the answer to a call of so many tokens brought the outcome
// of any of them.
func (v *verdict) tells(tokens int) bool {
	switch v.action {
	case record:
		return v.match.named > 0
	case halve, tooLarge:
		return tokens == 1
	}
	return false
}

// statusNotSent is the status of a call of which no byte was written.
const statusNotSent = "not sent"

// judgeAnswer turns the answer or error of one call into what to do. It mirrors the
// table "what each answer means" of the README and is the only reader of HTTP
// statuses.
func judgeAnswer(sent []connect.Token, answer connect.Answer, err error) verdict {
	if err == nil {
		m := match(sent, answer.Results)
		v := verdict{action: record, match: m, status: "2xx"}
		if answer.Imported != nil && len(answer.Results) == len(sent) && *answer.Imported != trues(answer.Results) {
			v.action = doubt
			v.words = fmt.Sprintf("the answer contradicts itself: it says %d imported and lists %d", *answer.Imported, trues(answer.Results))
		}
		return v
	}
	var status *connect.StatusError
	var notSent *connect.NotSentError
	var lost *connect.LostError
	switch {
	case errors.As(err, &status):
		v := verdict{words: status.Error(), status: fmt.Sprint(status.Status), wait: status.Wait, said: status.WaitSaid}
		v.action = judgeStatus(status)
		return v
	case errors.As(err, &notSent):
		v := verdict{action: notMade, words: notSent.Error(), status: statusNotSent}
		if notSent.Permanent {
			v.action = misconfigure
			var certificate *tls.CertificateVerificationError
			var plain tls.RecordHeaderError
			v.mends = errors.As(err, &certificate) || errors.As(err, &plain)
		}
		return v
	case errors.As(err, &lost):
		return verdict{action: doubt, words: lost.Error(), status: "lost"}
	}
	return verdict{action: doubt, words: err.Error(), status: "lost"}
}

// judgeStatus is the part of the table that depends on the status alone.
func judgeStatus(e *connect.StatusError) action {
	switch s := e.Status; {
	case s == http.StatusBadRequest, s == http.StatusUnprocessableEntity:
		return halve
	case s == http.StatusRequestEntityTooLarge:
		return tooLarge
	case s == http.StatusUnauthorized:
		return credential
	case s == http.StatusForbidden, s == http.StatusNotFound, s == http.StatusGone:
		return refuseOne
	case s == http.StatusTooEarly, s == http.StatusTooManyRequests,
		s == http.StatusServiceUnavailable && e.RetryAfter:
		return throttle
	case s == http.StatusRequestTimeout, s >= 500:
		return doubt
	case s >= 300 && s < 400:
		return misconfigure
	case s >= 400:
		return stop
	}
	return doubt
}

// trues counts the results that say succeeded.
func trues(results []connect.Result) int {
	n := 0
	for i := range results {
		if s := results[i].Succeeded; s != nil && *s {
			n++
		}
	}
	return n
}
