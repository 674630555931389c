package connect

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// planted is a credential with characters that every escape touches.
const planted = `xoxb-17"&<3/%+\é=z Q9~canary`

// encodings are the ways in which an endpoint may echo a text.
var encodings = map[string]func(string) string{
	"plain":            func(s string) string { return s },
	"JSON":             jsonText,
	"JSON twice":       func(s string) string { return jsonText(jsonText(s)) },
	"JSON, all of it":  func(s string) string { return eachRune(s, `\u%04X`) },
	"Go":               func(s string) string { return fmt.Sprintf("%+q", s) },
	"C":                func(s string) string { return eachByte(s, `\x%02x`) },
	"HTML":             html.EscapeString,
	"HTML, decimal":    func(s string) string { return eachRune(s, "&#%d;") },
	"HTML, hex":        func(s string) string { return eachRune(s, "&#x%X;") },
	"query":            url.QueryEscape,
	"path":             url.PathEscape,
	"percent, all":     func(s string) string { return eachByte(s, "%%%02X") },
	"percent, lower":   func(s string) string { return eachByte(s, "%%%02x") },
	"percent twice":    func(s string) string { return url.QueryEscape(url.QueryEscape(s)) },
	"HTML of JSON":     func(s string) string { return html.EscapeString(jsonText(s)) },
	"percent of JSON":  func(s string) string { return url.QueryEscape(jsonText(s)) },
	"hex":              func(s string) string { return hex.EncodeToString([]byte(s)) },
	"hex, upper":       func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) },
	"hex, odd":         func(s string) string { return "a" + hex.EncodeToString([]byte(s)) + "f" },
	"base64":           func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64, 1 before": func(s string) string { return base64.StdEncoding.EncodeToString([]byte("{" + s + "}")) },
	"base64, 2 before": func(s string) string { return base64.StdEncoding.EncodeToString([]byte(`{"` + s + `"}`)) },
	"base64url":        func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
	"base64 in a word": func(s string) string { return "token-" + base64.RawURLEncoding.EncodeToString([]byte("~"+s)) },
	"base64, wrapped": func(s string) string {
		text := base64.StdEncoding.EncodeToString([]byte(s))
		cut := min(17, len(text)/2)
		return text[:cut] + "\r\n" + text[cut:]
	},
	"base64 in a query": func(s string) string { return url.QueryEscape(base64.StdEncoding.EncodeToString([]byte("~" + s))) },
	"base64 in JSON": func(s string) string {
		return strings.ReplaceAll(base64.StdEncoding.EncodeToString([]byte(s)), "/", `\/`)
	},
}

func eachRune(s, format string) (out string) {
	for _, r := range s {
		out += fmt.Sprintf(format, r)
	}
	return out
}

func eachByte(s, format string) (out string) {
	for i := range len(s) {
		out += fmt.Sprintf(format, s[i])
	}
	return out
}

func jsonText(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(text[1 : len(text)-1])
}

func TestScrubber_FindsEveryEncoding(t *testing.T) {
	s := NewScrubber(NewSecret("another credential"), NewSecret(planted))
	for name, encode := range encodings {
		// The sentences use no characters of the encodings' own, so that they
		// must come out whole.
		got := s.Clean("said: (" + encode(planted) + "), refused")
		if !strings.HasPrefix(got, "said: (") || !strings.HasSuffix(got, "), refused") || !strings.Contains(got, redacted) {
			t.Errorf("%s: got %q, want said: ([redacted]), refused", name, got)
		}
		if left := len(got) - len("said: ([redacted]), refused"); left > 24 {
			t.Errorf("%s: got %q, with %d bytes of the credential's surroundings", name, got, left)
		}
		if leak := leaked(got, planted); leak != "" {
			t.Errorf("%s: got %q, which holds %q", name, got, leak)
		}
	}
}

func TestScrubber_FindsParts(t *testing.T) {
	s := NewScrubber(NewSecret("abcdefghijkl"), NewSecret("s3cr3t"), NewSecret("abc"), NewSecret("pass w0rd ok"), NewSecret("nul\x00and\u0092more"))
	for text, want := range map[string]string{
		"":                                   "",
		"abc":                                "abc",
		"abcdefg":                            "abcdefg", // seven characters
		"abcdefgh":                           "[redacted]",
		"x bcdefghi y":                       "x [redacted] y",
		"x abcdefghijkl y":                   "x [redacted] y",
		"xabcdefghijklabcdefghijkly":         "x[redacted]y",
		"abcdefgh and efghijkl":              "[redacted] and [redacted]",
		"ABCDEFGHIJKL":                       "ABCDEFGHIJKL",
		"abcdefgXhijkl":                      "abcdefgXhijkl",
		"s3cr3 s3cr3t s3cr3ts3cr3t.":         "s3cr3 [redacted] [redacted].",
		"hex 733363723374, percent %733cr3t": "hex [redacted], percent [redacted]",
		"pass+w0rd+ok%21":                    "[redacted]%21",
		"&#110;ul&#0;and&#x92;more":          "[redacted]",
		"nothing to see":                     "nothing to see",
	} {
		if got := s.Clean(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestScrubber_KeepsCharactersWhole(t *testing.T) {
	s := NewScrubber(NewSecret("ééééé")) // ten bytes; a window may begin within a character
	for _, text := range []string{"aéééééb", "a\xa9éééé\xc3b", "éééé", "日本ééééé語"} {
		got := s.Clean(text)
		if !strings.Contains(got, redacted) {
			t.Errorf("%q: got %q, want it redacted", text, got)
		}
		if utf8.ValidString(text) && !utf8.ValidString(got) {
			t.Errorf("%q: got %q, which is not valid UTF-8", text, got)
		}
	}
	// The second byte of © and the first of è belong to the window.
	if got, want := s.Clean("a©éééèb"), "a[redacted]b"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestScrubber_ReplacementMakesNoNewWindow(t *testing.T) {
	s := NewScrubber(NewSecret("ab[redact"), NewSecret("0123456789"))
	if got, want := s.Clean("ab0123456789 more"), redacted; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestScrubber_OfNothing(t *testing.T) {
	var none *Scrubber
	for _, s := range []*Scrubber{none, NewScrubber(), NewScrubber(Secret{}, NewSecret("abc"))} {
		if got := s.Clean("abc def"); got != "abc def" {
			t.Errorf("got %q, want the text as it is", got)
		}
	}
}

func TestScrubber_PrintsNoCredential(t *testing.T) {
	s := NewScrubber(NewSecret(planted), NewSecret("s3cr3t"))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if got := fmt.Sprintf(verb, s) + fmt.Sprintf(verb, *s); leaked(got, planted) != "" || strings.Contains(got, "s3cr3t") {
			t.Errorf("%s: got %q", verb, got)
		}
	}
}

func TestCallScrubber_KnowsTokensAndData(t *testing.T) {
	s := callScrubber(NewSecret("api-credential"), []Token{
		{AccessToken: NewSecret("access-one")},
		{AccessToken: NewSecret("access-two"), RefreshToken: NewSecret("refresh-two"),
			Data: NewSecret(`{"bot":{"token":"\u0064ata-credential","scopes":["scope-text","bot"]},"n":12345678}`)},
		{AccessToken: NewSecret("access-three"), Data: NewSecret(`not { json`)},
	})
	for _, secret := range []string{"api-credential", "access-one", "access-two", "refresh-two", "data-credential", "scope-text", "not { json"} {
		if got := s.Clean(secret); got != redacted {
			t.Errorf("%s: got %q, want it redacted", secret, got)
		}
	}
	if got, want := s.Clean("the bot's 12345678"), "the bot's 12345678"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// leaked returns eight bytes of the secret that the text holds, in plain or in
// one of the encodings; "" if none. It knows nothing of how Clean works.
func leaked(text, secret string) string {
	lower := strings.ToLower(text)
	for i := 0; i+window <= len(secret); i++ {
		part := secret[i : i+window]
		for _, form := range []string{part, url.QueryEscape(part), url.PathEscape(part), html.EscapeString(part), jsonIfText(part)} {
			if strings.Contains(text, form) {
				return form
			}
		}
		for _, form := range []string{hex.EncodeToString([]byte(part)), eachByte(part, "%%%02x"), eachByte(part, `\x%02x`), eachByte(part, "&#%d;")} {
			if strings.Contains(lower, form) {
				return form
			}
		}
		for before := range 3 {
			// The digits that depend on the eight bytes alone.
			for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
				digits := enc.EncodeToString([]byte(strings.Repeat("x", before) + part))
				digits = digits[(before*8+5)/6 : (before+len(part))*8/6]
				if strings.Contains(text, digits) {
					return digits
				}
			}
		}
	}
	return ""
}

func jsonIfText(part string) string {
	if !utf8.ValidString(part) {
		return part
	}
	return jsonText(part)
}

// FuzzScrub echoes a credential in every encoding amid other text: nothing of
// eight bytes may survive.
func FuzzScrub(f *testing.F) {
	f.Add(planted, "invalid token ", "!")
	f.Add("abcdefgh", "abcdefg", "bcdefgh")
	f.Add(`%41%42\u0041&amp;`, "%", "41")
	f.Add("ya29.A0ARrdaM", "Basic ", "==")
	f.Fuzz(func(t *testing.T, secret, before, after string) {
		if len(secret) < 10 || len(secret) > 200 || len(before)+len(after) > 1000 {
			t.Skip()
		}
		if leaked(redacted, secret) != "" {
			t.Skip() // the replacement itself
		}
		s := NewScrubber(NewSecret("unrelated"), NewSecret(secret))
		for name, encode := range encodings {
			text := before + encode(secret) + after
			got := s.Clean(text)
			if leak := leaked(got, secret); leak != "" {
				t.Errorf("%s of %q: %q became %q, which holds %q", name, secret, text, got, leak)
			}
			if utf8.ValidString(text) && !utf8.ValidString(got) {
				t.Errorf("%s: %q became %q, which is not valid UTF-8", name, text, got)
			}
		}
	})
}

// BenchmarkScrubber_Clean is a refusal of a chunk of a MiB.
func BenchmarkScrubber_Clean(b *testing.B) {
	var secrets []Secret
	for i := range 200 {
		secrets = append(secrets, NewSecret(strings.Repeat(fmt.Sprintf("%x.", i*7919), 1000)))
	}
	s := NewScrubber(secrets...)
	text := "invalid token: " + strings.Repeat("something is not right with ", 20)
	b.ReportAllocs()
	for b.Loop() {
		s.Clean(text)
	}
}
