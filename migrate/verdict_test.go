package migrate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tokenmigrate/migrate/connect"
)

var actionNames = map[action]string{
	record: "record", halve: "halve", tooLarge: "too large", throttle: "throttle", notMade: "not made", doubt: "doubt",
	refuseOne: "refuse one", credential: "credential", stop: "stop", misconfigure: "misconfigure",
}

func TestJudgeAnswer_FollowsTheTable(t *testing.T) {
	t.Parallel()
	status := func(n int) *connect.StatusError {
		return &connect.StatusError{Status: n, Code: "a_code", Message: "its words"}
	}
	after := func(n int, d time.Duration) *connect.StatusError {
		return &connect.StatusError{Status: n, Wait: d, WaitSaid: true, RetryAfter: true}
	}
	reset := &connect.StatusError{Status: 503, Wait: time.Minute, WaitSaid: true} // X-RateLimit-Reset alone
	for _, c := range []struct {
		name string
		err  error
		want action
		say  string // what metrics and logs name it
	}{
		{"300", status(300), misconfigure, "300"}, {"301", status(301), misconfigure, "301"}, {"302", status(302), misconfigure, "302"},
		{"304", status(304), misconfigure, "304"}, {"307", status(307), misconfigure, "307"}, {"308", status(308), misconfigure, "308"}, {"399", status(399), misconfigure, "399"},
		{"400", status(400), halve, "400"}, {"422", status(422), halve, "422"},
		{"401", status(401), credential, "401"},
		{"402", status(402), stop, "402"}, {"405", status(405), stop, "405"}, {"406", status(406), stop, "406"}, {"409", status(409), stop, "409"}, {"418", status(418), stop, "418"}, {"451", status(451), stop, "451"}, {"499", status(499), stop, "499"},
		{"403", status(403), refuseOne, "403"}, {"404", status(404), refuseOne, "404"}, {"410", status(410), refuseOne, "410"},
		{"408", status(408), doubt, "408"}, {"408 with Retry-After", after(408, time.Second), doubt, "408"},
		{"413", status(413), tooLarge, "413"}, {"413 with Retry-After", after(413, time.Second), tooLarge, "413"},
		{"425", status(425), throttle, "425"}, {"429", status(429), throttle, "429"}, {"429 with Retry-After", after(429, 7*time.Second), throttle, "429"},
		{"500", status(500), doubt, "500"}, {"500 with Retry-After", after(500, time.Second), doubt, "500"}, {"501", status(501), doubt, "501"}, {"502", status(502), doubt, "502"},
		{"503", status(503), doubt, "503"}, {"503 with Retry-After", after(503, 7*time.Second), throttle, "503"}, {"503 with X-RateLimit-Reset alone", reset, doubt, "503"},
		{"503 with Retry-After: 0", after(503, 0), throttle, "503"},
		{"504", status(504), doubt, "504"}, {"504 with Retry-After", after(504, time.Second), doubt, "504"}, {"520", status(520), doubt, "520"}, {"599", status(599), doubt, "599"},
		{"101", status(101), doubt, "101"}, {"0", status(0), doubt, "0"}, {"999", status(999), doubt, "999"},
		{"not sent", &connect.NotSentError{Cause: errors.New("no such host")}, notMade, "not sent"},
		{"not sent, for good", &connect.NotSentError{Cause: errors.New("certificate"), Permanent: true}, misconfigure, "not sent"},
		{"lost", &connect.LostError{What: "timeout"}, doubt, "lost"},
		{"lost, and it looks like a cancellation", &connect.LostError{What: "cancelled", Cause: context.Canceled}, doubt, "lost"},
		{"something else", errors.New("who knows"), doubt, "lost"},
		{"a bare cancellation", context.Canceled, doubt, "lost"},
	} {
		for _, err := range []error{c.err, fmt.Errorf("import: %w", c.err)} {
			v := judgeAnswer([]connect.Token{userToken("ada")}, connect.Answer{}, err)
			if v.action != c.want || v.status != c.say {
				t.Errorf("%s: got %s (%s), want %s (%s)", c.name, actionNames[v.action], v.status, actionNames[c.want], c.say)
			}
			if v.words == "" || v.match.succeeded != nil {
				t.Errorf("%s: got words %q and match %v, want words and no match", c.name, v.words, v.match)
			}
			var s *connect.StatusError
			if errors.As(err, &s) && (v.wait != s.Wait || v.said != s.WaitSaid) {
				t.Errorf("%s: got a wait of %v (said: %t), want %v (%t)", c.name, v.wait, v.said, s.Wait, s.WaitSaid)
			}
		}
	}
}

func TestJudgeAnswer_ReadsTheAnswer(t *testing.T) {
	t.Parallel()
	ada, bob := userToken("ada"), userToken("bob")
	sent := []connect.Token{ada, bob}
	yes, no := new(true), new(false)
	for _, c := range []struct {
		name   string
		answer connect.Answer
		want   action
		match  string
	}{
		{"plain", connect.Answer{Accepted: new(2), Imported: new(1), Results: []connect.Result{echo(&ada, yes), echo(&bob, no)}}, record, "+-"},
		{"counts missing", connect.Answer{Results: []connect.Result{echo(&ada, yes), echo(&bob, yes)}}, record, "++"},
		{"none imported", connect.Answer{Imported: new(0), Results: []connect.Result{echo(&ada, no), echo(&bob, no)}}, record, "--"},
		{"accepted says something else: it is not the contract's word", connect.Answer{Accepted: new(7), Imported: new(2), Results: []connect.Result{echo(&ada, yes), echo(&bob, yes)}}, record, "++"},
		{"more imported than the trues", connect.Answer{Imported: new(2), Results: []connect.Result{echo(&ada, yes), echo(&bob, no)}}, doubt, "+-"},
		{"fewer imported than the trues", connect.Answer{Imported: new(0), Results: []connect.Result{echo(&ada, yes), echo(&bob, no)}}, doubt, "+-"},
		{"a missing word is no true", connect.Answer{Imported: new(2), Results: []connect.Result{echo(&ada, yes), echo(&bob, nil)}}, doubt, "+?"},
		{"a contradiction in other order", connect.Answer{Imported: new(2), Results: []connect.Result{echo(&bob, no), echo(&ada, yes)}}, doubt, "+-"},
		{"incomplete: imported may count what is missing", connect.Answer{Imported: new(2), Results: []connect.Result{echo(&ada, yes)}}, record, "+?"},
		{"repeated: imported may count each once", connect.Answer{Imported: new(1), Results: []connect.Result{echo(&ada, yes), echo(&ada, yes), echo(&bob, no)}}, record, "+-"},
		{"nothing", connect.Answer{Imported: new(2)}, record, "??"},
	} {
		v := judgeAnswer(sent, c.answer, nil)
		if v.action != c.want || v.match.verdicts() != c.match || v.status != "2xx" {
			t.Errorf("%s: got %s %q (%s), want %s %q (2xx)", c.name, actionNames[v.action], v.match.verdicts(), v.status, actionNames[c.want], c.match)
		}
		if c.want == doubt && !strings.Contains(v.words, "contradicts") {
			t.Errorf("%s: got words %q, want them to name the contradiction", c.name, v.words)
		}
	}
}
