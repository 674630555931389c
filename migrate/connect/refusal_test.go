package connect

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// noon is when the answers of these tests come; serverNoon is what the server's
// clock shows then.
var (
	noon       = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	serverNoon = noon.Add(90 * time.Second)
)

func TestNewStatusError_ReadsCodeAndMessage(t *testing.T) {
	long := strings.Repeat("é", 600)
	for _, tt := range []struct {
		name, body, code, message string
	}{
		{"as documented", `{"error":{"code":"bad_request","message":"Invalid."}}`, "bad_request", "Invalid."},
		{"err", `{"err":{"code":"bad_request","message":"Invalid."}}`, "bad_request", "Invalid."},
		{"error is null", `{"error":null,"err":{"code":"c"}}`, "c", ""},
		{"one word", `{"error":"unauthorized"}`, "unauthorized", ""},
		{"a sentence", `{"error":"Something went wrong."}`, "", "Something went wrong."},
		{"OAuth", `{"error":"invalid_grant","error_description":"It expired."}`, "invalid_grant", "It expired."},
		{"at the top", `{"code":"c","message":"m"}`, "c", "m"},
		{"beside", `{"error":{"message":"m"},"code":"c"}`, "c", "m"},
		{"code is a number", `{"error":{"code":4001,"message":"m"}}`, "4001", "m"},
		{"other types", `{"error":{"code":["c"],"message":{"m":1}}}`, "", `{"error":{"code":["c"],"message":{"m":1}}}`},
		{"vendor", `{"error":{"code":"c","message":"m","vendor":{"code":"vc","message":"vm"}}}`, "c", "m (vendor: vc: vm)"},
		{"meta.vendor", `{"error":{"code":"c","message":"m","meta":{"vendor":{"message":"vm"}}}}`, "c", "m (vendor: vm)"},
		{"vendor alone", `{"error":{"code":"c","vendor":{"error":"ve","error_description":"vd"}}}`, "c", "ve: vd"},
		{"vendor is a text", `{"error":{"code":"c","message":"m","vendor":"slack"}}`, "c", "m (vendor: slack)"},
		{"vendor says the same", `{"error":{"code":"c","message":"m","vendor":{"message":"m"}}}`, "c", "m"},
		{"empty vendor", `{"error":{"code":"c","message":"m","vendor":{}}}`, "c", "m"},
		{"nothing known", `{"detail":"d"}`, "", `{"detail":"d"}`},
		{"an array", `["no"]`, "", `["no"]`},
		{"text", "  upstream\r\n\ttimed \x00out  ", "", "upstream timed out"},
		{"empty", "", "", ""},
		{"cut", `{"error":{"code":"c","mess`, "", `{"error":{"code":"c","mess`},
		{"page with a title", "<!doctype html><HTML><head><Title lang=en>\n502 Bad &amp; Gateway </title></head><body>no</body>", "", "502 Bad & Gateway"},
		{"page without", "<html><style>a{}</style><body><h1>No&nbsp;luck</h1>\n<p>today<script>x()</script></body>", "", "No luck today"},
		{"page with an empty title", "<html><title></title><p>text</p>", "", "text"},
		{"long text", long, "", long[:2*199] + "…"},
		{"long message", `{"error":{"code":"` + long + `","message":"` + long + `"}}`, long[:2*99] + "…", long[:2*499] + "…"},
		{"several lines", `{"error":{"code":"a\nb","message":"c\r\n\u2028d\u202ee\u200b"}}`, "a b", "c d e"},
		{"invalid UTF-8", "a\xff\xfeb", "", "a b"},
	} {
		got := newStatusError(400, http.Header{}, []byte(tt.body), noon, nil)
		if got.Code != tt.code || got.Message != tt.message {
			t.Errorf("%s: got %q and %q, want %q and %q", tt.name, got.Code, got.Message, tt.code, tt.message)
		}
		if !utf8.ValidString(got.Error()) || strings.ContainsAny(got.Error(), "\r\n\x00") {
			t.Errorf("%s: got %q, want one line of UTF-8", tt.name, got.Error())
		}
		if got.WaitSaid || got.Wait != 0 || got.RetryAfter {
			t.Errorf("%s: got a wait of %s, want none", tt.name, got.Wait)
		}
	}
}

func TestNewStatusError_ReadsTheWait(t *testing.T) {
	const second = time.Second
	httpDate := func(t time.Time) string { return t.Format(http.TimeFormat) }
	in := func(d time.Duration) time.Time { return serverNoon.Add(d) }
	for _, tt := range []struct {
		name   string
		header map[string]string
		body   string
		want   time.Duration
		said   bool
	}{
		{"nothing", nil, ``, 0, false},
		{"seconds", map[string]string{"Retry-After": "30"}, ``, 30 * second, true},
		{"zero seconds", map[string]string{"Retry-After": "0"}, ``, 0, true},
		{"part of a second", map[string]string{"Retry-After": " 0.25 "}, ``, 250 * time.Millisecond, true},
		{"negative seconds", map[string]string{"Retry-After": "-5"}, ``, 0, true},
		{"a date", map[string]string{"Retry-After": httpDate(in(40 * second))}, ``, 40 * second, true},
		{"a date gone by", map[string]string{"Retry-After": httpDate(in(-40 * second))}, ``, 0, true},
		{"nonsense", map[string]string{"Retry-After": "soon", "X-RateLimit-Reset": "inf"}, `{"limit":{"reset":"NaN","resetMs":null}}`, 0, false},
		{"exotic numbers", map[string]string{"Retry-After": "0x10", "X-RateLimit-Reset": "1e3"}, ``, 0, false},
		{"beyond all time", map[string]string{"Retry-After": "99999999999999999999"}, ``, math.MaxInt64, true},
		{"reset", nil, `{"error":{"limit":{"remaining":0,"reset":` + unix(in(20*second)) + `,"total":50}}}`, 20 * second, true},
		{"reset at the top", nil, `{"limit":{"reset":` + unix(in(20*second)) + `}}`, 20 * second, true},
		{"reset of err", nil, `{"err":{"limit":{"reset":` + unix(in(20*second)) + `}}}`, 20 * second, true},
		{"reset as text", nil, `{"limit":{"reset":"` + unix(in(20*second)) + `"}}`, 20 * second, true},
		{"reset in milliseconds", nil, `{"limit":{"reset":` + unixMilli(in(20*second)) + `}}`, 20 * second, true},
		{"reset as a duration", nil, `{"limit":{"reset":12}}`, 12 * second, true},
		{"reset gone by", nil, `{"limit":{"reset":` + unix(in(-20*second)) + `}}`, 0, true},
		{"resetMs", nil, `{"error":{"limit":{"resetMs":` + unixMilli(in(1500*time.Millisecond)) + `}}}`, 1500 * time.Millisecond, true},
		{"resetMs as a duration", nil, `{"limit":{"resetMs":1500}}`, 1500 * time.Millisecond, true},
		{"resetMs in seconds", nil, `{"limit":{"resetMs":` + unix(in(20*second)) + `}}`, 20 * second, true},
		{"header in seconds", map[string]string{"X-RateLimit-Reset": unix(in(20 * second))}, ``, 20 * second, true},
		{"header in milliseconds", map[string]string{"X-RateLimit-Reset": unixMilli(in(20 * second))}, ``, 20 * second, true},
		{"header as a duration", map[string]string{"X-RateLimit-Reset": "20"}, ``, 20 * second, true},
		{"the latest: header", map[string]string{"Retry-After": "1", "X-RateLimit-Reset": "4"}, `{"limit":{"reset":2,"resetMs":3000}}`, 4 * second, true},
		{"the latest: resetMs", map[string]string{"Retry-After": "1", "X-RateLimit-Reset": "2"}, `{"error":{"limit":{"reset":3,"resetMs":4000}}}`, 4 * second, true},
		{"the latest: reset", map[string]string{"Retry-After": "1"}, `{"error":{"limit":{"reset":4}},"limit":{"resetMs":2000}}`, 4 * second, true},
		{"the latest: Retry-After", map[string]string{"Retry-After": "4"}, `{"limit":{"reset":-3,"resetMs":-4000}}`, 4 * second, true},
		{"limit is no object", nil, `{"limit":50,"error":{"limit":[1]}}`, 0, false},
	} {
		header := http.Header{"Date": {httpDate(serverNoon)}}
		for name, value := range tt.header {
			header.Set(name, value)
		}
		got := newStatusError(429, header, []byte(tt.body), noon, nil)
		if got.Wait != tt.want || got.WaitSaid != tt.said {
			t.Errorf("%s: got %s, said %t, want %s, said %t", tt.name, got.Wait, got.WaitSaid, tt.want, tt.said)
		}
		readable := tt.said && tt.header["Retry-After"] != ""
		if got.RetryAfter != readable {
			t.Errorf("%s: got Retry-After %t, want %t", tt.name, got.RetryAfter, readable)
		}
		if got := strings.Contains(got.Error(), "asks to wait"); got != tt.said {
			t.Errorf("%s: the error tells of a wait: %t, want %t", tt.name, got, tt.said)
		}
	}
}

func TestNewStatusError_UsesOurClockWithoutADate(t *testing.T) {
	for _, date := range []string{"", "yesterday"} {
		header := http.Header{"Date": {date}, "Retry-After": {noon.Add(time.Minute).Format(http.TimeFormat)}}
		if got := newStatusError(429, header, nil, noon, nil); got.Wait != time.Minute {
			t.Errorf("Date %q: got %s, want 1m0s", date, got.Wait)
		}
	}
}

func TestNewStatusError_TakesTheLatestOfSeveralHeaders(t *testing.T) {
	header := http.Header{"Retry-After": {"3", "9", "x"}}
	if got := newStatusError(503, header, nil, noon, nil); got.Wait != 9*time.Second || !got.RetryAfter {
		t.Errorf("got %s, want 9s", got.Wait)
	}
}

// What is left out may be most of a text, and what is kept may be torn.
func TestTidy_ScrubsBeforeAndAfter(t *testing.T) {
	s := NewScrubber(NewSecret("abcdefghijkl"), NewSecret(strings.Repeat("secret", 500)), NewSecret("two  blanks"), NewSecret("one blank"))
	for text, want := range map[string]string{
		"x\tabcdefghijkl\ny":                            "x [redacted] y",
		"a " + strings.Repeat("secret", 500) + ".":      "a [redacted].",
		"abcdef\u200bghijkl":                            "abcdef ghijkl",
		"say one\nblank":                                "say [redacted]",
		"say two  blanks":                               "say [redacted]",
		strings.Repeat("-", maxTidy-8) + "abcdefghijkl": strings.Repeat("-", 499) + "…",
	} {
		if got := tidy(text, 500, s); got != want {
			t.Errorf("%.40q: got %.600q, want %q", text, got, want)
		}
	}
}

func TestStatusError_SaysWhatToDo(t *testing.T) {
	for _, tt := range []struct {
		e    StatusError
		want string
	}{
		{StatusError{Status: 500}, "the endpoint answered 500"},
		{StatusError{Status: 400, Code: "bad", Message: "No."}, "the endpoint answered 400 bad: No."},
		{StatusError{Status: 400, Message: "No."}, "the endpoint answered 400: No."},
		{StatusError{Status: 429, Code: "rate_limited", Wait: 1500 * time.Millisecond, WaitSaid: true},
			"the endpoint answered 429 rate_limited (asks to wait 1.5s)"},
		{StatusError{Status: 308}, "the endpoint answered 308 (redirects are never followed, they would carry the tokens elsewhere; correct the destination's url)"},
	} {
		if got := tt.e.Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// FuzzStatusError reads any refusal: one line of bounded length, without the
// credential that it may quote.
func FuzzStatusError(f *testing.F) {
	f.Add([]byte(`{"error":{"code":"c","message":"xoxb-17\"&<3 was refused","limit":{"reset":1,"resetMs":2}}}`), "7", "Tue, 01 Sep 2026 12:00:00 GMT")
	f.Add([]byte("<html><title>"+planted+"</title>"), "-0.5", "")
	f.Add([]byte(`{"err":"`+planted+`"}`), "1e9", "x")
	f.Fuzz(func(t *testing.T, body []byte, retryAfter, date string) {
		header := http.Header{"Retry-After": {retryAfter}, "Date": {date}, "X-Ratelimit-Reset": {retryAfter}}
		got := newStatusError(429, header, body, noon, NewScrubber(NewSecret(planted)))
		if n := utf8.RuneCountInString(got.Code); n > maxCode {
			t.Errorf("got a code of %d characters", n)
		}
		if n := utf8.RuneCountInString(got.Message); n > maxMessage {
			t.Errorf("got a message of %d characters", n)
		}
		if got.Wait < 0 || got.Wait > 0 && !got.WaitSaid {
			t.Errorf("got a wait of %s, said %t", got.Wait, got.WaitSaid)
		}
		text := got.Error()
		if !utf8.ValidString(text) || strings.ContainsAny(text, "\r\n\x00\x1b") {
			t.Errorf("got %q, want one printable line", text)
		}
		if leak := leaked(text, planted); leak != "" {
			t.Errorf("got %q, which holds %q", text, leak)
		}
	})
}

func unix(t time.Time) string      { return strconv.FormatInt(t.Unix(), 10) }
func unixMilli(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
