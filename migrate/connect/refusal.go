package connect

import (
	"bytes"
	"encoding/json"
	"html"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Limits of what is kept of a refusal, in characters.
const (
	maxCode    = 100
	maxMessage = 500
	maxRawText = 200 // of a body that is not the documented JSON
)

// maxTidy is how many bytes of a text are looked at: far more than is kept, so
// that little is lost where much is redacted, and few enough to be scrubbed fast.
const maxTidy = 4 << 10

// newStatusError reads an answer that is not 2xx. The body is as much of it as
// was read; now is when its header came.
func newStatusError(status int, header http.Header, body []byte, now time.Time, s *Scrubber) *StatusError {
	e := &StatusError{Status: status}
	var whole map[string]any
	if json.Unmarshal(body, &whole) != nil {
		whole = nil
	}
	code, message := explain(whole)
	if code == "" && message == "" {
		message = tidy(plainText(body), maxRawText, s)
	}
	e.Code, e.Message = tidy(code, maxCode, s), tidy(message, maxMessage, s)
	readWait(e, header, whole, now)
	return e
}

// explain finds code and message in an error body. Documented is
// {"error":{"code","message"}}; others are seen: "err" for "error", a mere text
// in it, and what a vendor behind the endpoint said in error.vendor or
// error.meta.vendor, which is added.
func explain(whole map[string]any) (code, message string) {
	problem := problemOf(whole)
	if plain, ok := problem.(string); ok {
		// A single word is a code, as in OAuth's {"error":"invalid_grant"}.
		if strings.ContainsFunc(plain, unicode.IsSpace) {
			message = plain
		} else {
			code = plain
		}
	}
	object, _ := problem.(map[string]any)
	code = firstText(code, object["code"], whole["code"])
	message = firstText(message, object["message"], whole["message"], whole["error_description"])

	vendor := object["vendor"]
	if meta, ok := object["meta"].(map[string]any); ok && vendor == nil {
		vendor = meta["vendor"]
	}
	var detail string
	switch v := vendor.(type) {
	case string:
		detail = v
	case map[string]any:
		vendorCode := firstText("", v["code"], v["error"])
		vendorMessage := firstText("", v["message"], v["error_description"])
		detail = strings.Trim(vendorCode+": "+vendorMessage, ": ")
	}
	switch {
	case detail == "" || detail == message:
	case message == "":
		message = detail
	default:
		message += " (vendor: " + detail + ")"
	}
	return code, message
}

// problemOf returns what stands in "error", or in "err" where that is absent.
func problemOf(whole map[string]any) any {
	if problem := whole["error"]; problem != nil {
		return problem
	}
	return whole["err"]
}

// firstText returns the first that is a text with content, or a number.
func firstText(first string, others ...any) string {
	if first != "" {
		return first
	}
	for _, other := range others {
		switch v := other.(type) {
		case string:
			if v != "" {
				return v
			}
		case float64:
			return strconv.FormatFloat(v, 'f', -1, 64)
		}
	}
	return ""
}

var (
	htmlTitle  = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title`)
	htmlHidden = regexp.MustCompile(`(?is)<(script|style)\b.*?(</(script|style)\s*>|$)`)
	htmlTag    = regexp.MustCompile(`(?s)<[^>]*>`)
)

// plainText returns what a body says to a reader: of a web page its title, or
// its text where it has none.
func plainText(body []byte) string {
	text := string(bytes.TrimSpace(body))
	if !strings.HasPrefix(text, "<") {
		return text
	}
	if title := htmlTitle.FindStringSubmatch(text); title != nil && strings.TrimSpace(title[1]) != "" {
		return html.UnescapeString(title[1])
	}
	text = htmlHidden.ReplaceAllString(text, " ")
	return html.UnescapeString(htmlTag.ReplaceAllString(text, " "))
}

// tidy returns a foreign text as one printable line of at most limit characters,
// without credentials. It scrubs before and after making one line of it, since
// that may both break up a credential and join one.
func tidy(text string, limit int, s *Scrubber) string {
	if len(text) > maxTidy {
		text = text[:maxTidy]
	}
	text = s.Clean(oneLine(s.Clean(text)))
	runes := []rune(text)
	if len(runes) > limit {
		return strings.TrimSpace(string(runes[:limit-1])) + "…"
	}
	return text
}

// oneLine puts a single blank in place of each run of blanks, line breaks and
// what cannot be printed, invalid UTF-8 and invisible characters included.
func oneLine(text string) string {
	text = strings.ToValidUTF8(text, " ")
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
}

// readWait fills in how long the answer asks to wait: the latest of all that it
// says. Absolute times are of the server's clock, so they are counted from its
// Date, and from now only where there is none.
func readWait(e *StatusError, header http.Header, whole map[string]any, now time.Time) {
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	say := func(wait time.Duration, ok bool) {
		if ok {
			e.WaitSaid = true
			e.Wait = max(e.Wait, wait) // from 0 on: what is over asks for no wait
		}
	}
	for _, value := range header.Values("Retry-After") {
		wait, ok := retryAfter(value, now)
		e.RetryAfter = e.RetryAfter || ok
		say(wait, ok)
	}
	for _, value := range header.Values("X-RateLimit-Reset") {
		say(untilReset(value, time.Second, now))
	}
	problem, _ := problemOf(whole).(map[string]any)
	for _, place := range []map[string]any{whole, problem} {
		limit, _ := place["limit"].(map[string]any)
		say(untilReset(limit["reset"], time.Second, now))
		say(untilReset(limit["resetMs"], time.Millisecond, now))
	}
}

// retryAfter reads seconds, whole or not, or a date.
func retryAfter(value string, now time.Time) (time.Duration, bool) {
	if seconds, ok := number(value); ok {
		return scale(seconds, time.Second), true
	}
	date, err := http.ParseTime(strings.TrimSpace(value))
	if err != nil {
		return 0, false
	}
	return date.Sub(now), true
}

// untilReset reads the time at which a limit ends. Its unit is told by its size,
// since servers differ from their own documents: from 1e11 on it is Unix
// milliseconds (of 1973 and later), from 1e9 on Unix seconds (of 2001 and
// later), and below that no time of ours at all but a duration in the given unit.
func untilReset(value any, unit time.Duration, now time.Time) (time.Duration, bool) {
	n, ok := value.(float64)
	if s, isText := value.(string); isText {
		n, ok = number(s)
	}
	switch {
	case !ok:
		return 0, false
	case n >= 1e11:
		return scale(n-float64(now.UnixMilli()), time.Millisecond), true
	case n >= 1e9:
		return scale(n-float64(now.UnixMilli())/1e3, time.Second), true
	}
	return scale(n, unit), true
}

// number reads a plain decimal number: digits, a sign and a point, and nothing
// of what strconv takes besides (infinities, hexadecimal, exponents).
func number(s string) (float64, bool) {
	s = strings.TrimSpace(s)
	if s == "" || strings.Trim(s, "+-.0123456789") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

// scale returns n units, and the longest duration there is where they are more.
func scale(n float64, unit time.Duration) time.Duration {
	d := n * float64(unit)
	if d >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(d)
}
