package connect

import (
	"encoding/json"
	"html"
	"iter"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// window is how many consecutive bytes a text must share with a credential for
// them to be taken out. Eight bytes are a uint64, which makes the comparison of
// a text with megabytes of credentials one pass of exact look-ups.
const window = 8

// minSecret is the length below which a credential is not looked for: it would
// be found everywhere.
const minSecret = 4

// Scrubber takes credentials out of texts that others wrote, such as what an
// endpoint says of a refused token. It is immutable and may be used by many
// goroutines; a nil Scrubber leaves texts as they are.
type Scrubber struct {
	long  []Secret // looked for by windows
	short []Secret // looked for whole
}

// NewScrubber returns a Scrubber of these credentials. Those shorter than four
// bytes are ignored, and those shorter than eight are only found whole.
func NewScrubber(secrets ...Secret) *Scrubber {
	s := &Scrubber{}
	for _, secret := range secrets {
		switch n := len(secret.Reveal()); {
		case n >= window:
			s.long = append(s.long, secret)
		case n >= minSecret:
			s.short = append(s.short, secret)
		}
	}
	return s
}

// callScrubber returns the Scrubber of one call: the API credential, the access
// and refresh tokens, and every text in their data that is long enough to be a
// credential (shorter ones are words, such as "bearer").
func callScrubber(credential Secret, tokens []Token) *Scrubber {
	secrets := make([]Secret, 0, 1+2*len(tokens))
	secrets = append(secrets, credential)
	for i := range tokens {
		t := &tokens[i]
		secrets = append(secrets, t.AccessToken, t.RefreshToken)
		if !t.Data.Empty() {
			secrets = appendTexts(secrets, t.Data)
		}
	}
	return NewScrubber(secrets...)
}

// Scrubber returns the Scrubber of a token's own credentials: access and refresh
// token, and what in its data is long enough to be one.
func (t *Token) Scrubber() *Scrubber { return callScrubber(Secret{}, []Token{*t}) }

// appendTexts appends the string values in a JSON text, or, where it is none,
// the whole.
func appendTexts(secrets []Secret, data Secret) []Secret {
	var value any
	if json.Unmarshal([]byte(data.Reveal()), &value) != nil {
		return append(secrets, data)
	}
	var walk func(any)
	walk = func(value any) {
		switch v := value.(type) {
		case string:
			if len(v) >= window {
				secrets = append(secrets, NewSecret(v))
			}
		case []any:
			for _, element := range v {
				walk(element)
			}
		case map[string]any:
			for _, member := range v {
				walk(member)
			}
		}
	}
	walk(value)
	return secrets
}

// Clean returns the text with "[redacted]" in place of everything that shares
// eight or more consecutive bytes with a credential, and of every whole
// credential of four to seven bytes. Credentials are found as they are, and also
//
//   - percent-encoded (in a path, query or form), JSON-escaped (or as a Go or C
//     string) and HTML-escaped, in part or in full, in up to two layers of these;
//   - in base64 and base64url at any alignment, and in hexadecimal of either
//     case, also over line breaks, and also under the two layers above.
//
// The result is valid UTF-8 if the text is. The time is linear in the length of
// text and credentials together; text is expected to be short (some KiB).
func (s *Scrubber) Clean(text string) string {
	if s == nil || len(s.long)+len(s.short) == 0 || len(text) < minSecret {
		return text
	}
	marked := s.find(text)
	if marked == nil {
		return text
	}
	cleaned := replaceMarked(text, marked)
	// What stood around a credential may form another one with the brackets of
	// the replacement: rare enough to give up the text.
	if s.find(cleaned) != nil {
		return redacted
	}
	return cleaned
}

// find returns which bytes of the text belong to a credential, nil if none.
func (s *Scrubber) find(text string) []bool {
	views := viewsOf(text)
	grams := map[uint64]bool{} // the windows of all views; true: some credential has it too
	for i := range views {
		for _, g := range windows(views[i].data) {
			grams[g] = false
		}
	}
	hit := false
	for _, secret := range s.long {
		for _, g := range windows(secret.Reveal()) {
			if _, ok := grams[g]; ok {
				grams[g], hit = true, true
			}
		}
	}
	marked := make([]bool, len(text))
	for i := range views {
		if hit {
			for at, g := range windows(views[i].data) {
				if grams[g] {
					views[i].mark(marked, at, at+window)
				}
			}
		}
		for _, secret := range s.short {
			for at := range indexes(views[i].data, secret.Reveal()) {
				views[i].mark(marked, at, at+len(secret.Reveal()))
				hit = true
			}
		}
	}
	if !hit {
		return nil
	}
	return marked
}

// windows yields each position in the text at which a window starts, and the
// window's bytes as a number.
func windows(text string) iter.Seq2[int, uint64] {
	return func(yield func(int, uint64) bool) {
		var g uint64
		for i := range len(text) {
			g = g<<8 | uint64(text[i])
			if i >= window-1 && !yield(i-window+1, g) {
				return
			}
		}
	}
}

// indexes yields the positions of part in text, overlapping ones included.
func indexes(text, part string) iter.Seq[int] {
	return func(yield func(int) bool) {
		for at := 0; ; at++ {
			i := strings.Index(text[at:], part)
			if i < 0 || !yield(at+i) {
				return
			}
			at += i
		}
	}
}

// replaceMarked puts one "[redacted]" in place of each run of marked bytes. A
// character goes as a whole.
func replaceMarked(text string, marked []bool) string {
	var b strings.Builder
	open := false
	for i := 0; i < len(text); {
		_, size := utf8.DecodeRuneInString(text[i:])
		secret := false
		for _, m := range marked[i : i+size] {
			secret = secret || m
		}
		if secret && !open {
			b.WriteString(redacted)
		}
		if !secret {
			b.WriteString(text[i : i+size])
		}
		open = secret
		i += size
	}
	return b.String()
}

// view is a text as it reads after some decoding, with the place in the original
// text that each of its bytes came from.
type view struct {
	data     string
	from, to []int32 // data[i] came from text[from[i]:to[i]]
}

func (v *view) mark(marked []bool, start, end int) {
	for i := start; i < end; i++ {
		for at := v.from[i]; at < v.to[i]; at++ {
			marked[at] = true
		}
	}
}

// viewsOf returns every way in which the text is read. The text is decoded, not
// the credentials encoded, since it is short and they are many.
func viewsOf(text string) []view {
	plain := view{data: text, from: make([]int32, len(text)), to: make([]int32, len(text))}
	for i := range len(text) {
		plain.from[i], plain.to[i] = int32(i), int32(i+1)
	}
	views := []view{plain}
	seen := map[string]bool{text: true}
	const layers = 2
	for start, layer := 0, 0; layer < layers; layer++ {
		end := len(views)
		for i := start; i < end; i++ {
			for _, escape := range escapes {
				if v := views[i].unescape(escape); !seen[v.data] {
					seen[v.data] = true
					views = append(views, v)
				}
			}
		}
		start = end
	}
	for i, end := 0, len(views); i < end; i++ {
		for phase := range 4 {
			views = append(views, views[i].unpack(6, phase, base64Digit))
		}
		for phase := range 2 {
			views = append(views, views[i].unpack(4, phase, hexDigit))
		}
	}
	return views
}

// An escape reads one escape sequence at the start of the text: what it stands
// for, and how many bytes long it is; 0 where there is none.
type escape func(text string) (plain string, length int)

var escapes = []escape{percentEscape, formEscape, backslashEscape, htmlEscape}

func percentEscape(text string) (string, int) {
	if text[0] != '%' {
		return "", 0
	}
	return hexEscape(text, 1)
}

// formEscape is what forms and queries have: a plus for a blank, too.
func formEscape(text string) (string, int) {
	if text[0] == '+' {
		return " ", 1
	}
	return percentEscape(text)
}

// hexEscape reads the two hexadecimal digits behind a prefix.
func hexEscape(text string, prefix int) (string, int) {
	if len(text) < prefix+2 {
		return "", 0
	}
	high, low := hexDigit(text[prefix]), hexDigit(text[prefix+1])
	if high < 0 || low < 0 {
		return "", 0
	}
	return string([]byte{byte(high<<4 | low)}), prefix + 2
}

func backslashEscape(text string) (string, int) {
	if text[0] != '\\' || len(text) < 2 {
		return "", 0
	}
	switch text[1] {
	case '"', '\\', '/', '\'':
		return text[1:2], 2
	case 'n':
		return "\n", 2
	case 't':
		return "\t", 2
	case 'r':
		return "\r", 2
	case 'b':
		return "\b", 2
	case 'f':
		return "\f", 2
	case 'x':
		return hexEscape(text, 2)
	case 'u':
		first, ok := codeUnit(text)
		if !ok {
			return "", 0
		}
		if second, ok := codeUnit(text[6:]); ok {
			if r := utf16.DecodeRune(first, second); r != utf8.RuneError {
				return string(r), 12
			}
		}
		return string(first), 6
	}
	return "", 0
}

// codeUnit reads \uXXXX.
func codeUnit(text string) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(text[2:6], 16, 16)
	return rune(n), err == nil
}

func htmlEscape(text string) (string, int) {
	const longest = 12 // &#x0010ffff;
	if text[0] != '&' {
		return "", 0
	}
	end := strings.IndexByte(text[:min(len(text), longest)], ';')
	if end < 0 {
		return "", 0
	}
	name := text[1:end]
	if number, ok := strings.CutPrefix(name, "#"); ok {
		// By the number itself: a browser, and html.UnescapeString, read some
		// numbers as other characters.
		base := 10
		if hexadecimal, ok := strings.CutPrefix(strings.ToLower(number), "x"); ok {
			number, base = hexadecimal, 16
		}
		n, err := strconv.ParseUint(number, base, 21)
		if err != nil {
			return "", 0
		}
		return string(rune(n)), end + 1
	}
	plain := html.UnescapeString(text[:end+1])
	if plain == text[:end+1] {
		return "", 0
	}
	return plain, end + 1
}

// unescape returns the view with each of one kind of escape sequence resolved.
func (v *view) unescape(e escape) view {
	var out view
	data := make([]byte, 0, len(v.data))
	for i := 0; i < len(v.data); {
		plain, length := e(v.data[i:])
		if length == 0 {
			plain, length = v.data[i:i+1], 1
		}
		for range len(plain) {
			out.from = append(out.from, v.from[i])
			out.to = append(out.to, v.to[i+length-1])
		}
		data = append(data, plain...)
		i += length
	}
	out.data = string(data)
	return out
}

// unpack reads the view as base64 (6 bits a digit) or hexadecimal (4). What is
// no digit ends a run of digits, but for line breaks and blanks, which stand
// within long encoded texts. Where in a run the encoded text starts is not
// known, since what stands before it may look like digits too: phase is how many
// digits of each run are left out, and every phase that gives other bytes has to
// be tried.
func (v *view) unpack(bits, phase int, digit func(byte) int) view {
	var out view
	var data []byte
	skip, have, acc, start := phase, 0, 0, 0
	for i := range len(v.data) {
		c := v.data[i]
		if c == ' ' || c == '\n' || c == '\r' || c == '\t' {
			continue
		}
		d := digit(c)
		if d < 0 {
			skip, have, acc = phase, 0, 0
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		if have == 0 {
			start = i
		}
		acc, have = (acc<<bits|d)&0xffff, have+bits
		if have >= 8 {
			have -= 8
			data = append(data, byte(acc>>have))
			out.from = append(out.from, v.from[start])
			out.to = append(out.to, v.to[i])
			start = i // the digit's other bits begin the next byte
		}
	}
	out.data = string(data)
	return out
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// base64Digit knows both alphabets.
func base64Digit(c byte) int {
	switch {
	case 'A' <= c && c <= 'Z':
		return int(c - 'A')
	case 'a' <= c && c <= 'z':
		return int(c-'a') + 26
	case '0' <= c && c <= '9':
		return int(c-'0') + 52
	case c == '+' || c == '-':
		return 62
	case c == '/' || c == '_':
		return 63
	}
	return -1
}
